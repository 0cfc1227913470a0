import pytest
import torch

from sft.configs.optimizer import OptimizerConfig
from sft.configs.schedule import Decay, ScheduleConfig
from sft.engine.optimizer import build_optimizer, learning_rate

FALLING = [Decay.cosine, Decay.linear, Decay.wsd]


def rates(decay: Decay, warmup: float, total: int = 100) -> list[float]:
    schedule = ScheduleConfig(decay=decay, warmup_ratio=warmup)
    return [learning_rate(step, total, 1.0, schedule) for step in range(1, total + 1)]


def test_warm_up_rises_evenly_to_the_peak() -> None:
    assert rates(Decay.cosine, 0.03)[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("decay", FALLING)
def test_decay_ends_at_zero(decay: Decay) -> None:
    falling = rates(decay, 0.1)[9:]
    assert falling[0] == 1.0
    assert falling[-1] == pytest.approx(0.0, abs=1e-12)
    assert falling == sorted(falling, reverse=True)


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert learning_rate(50, 100, 1.0, ScheduleConfig(warmup_ratio=0.0)) == pytest.approx(0.5)


def test_constant_stays() -> None:
    assert set(rates(Decay.constant, 0.0)) == {1.0}


def test_wsd_stays_until_its_last_tenth_and_falls_straight() -> None:
    curve = rates(Decay.wsd, 0.03)
    assert set(curve[2:90]) == {1.0}
    assert curve[90:] == pytest.approx([0.9 - 0.1 * step for step in range(10)], abs=1e-12)


@pytest.mark.parametrize("decay", Decay)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(decay: Decay, total: int) -> None:
    assert all(0.0 <= rate <= 1.0 for rate in rates(decay, 0.03, total))


def test_norms_are_not_decayed() -> None:
    weight, norm = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    named = [("layers.0.mlp.weight", weight), ("layers.0.input_layernorm.weight", norm)]
    groups = build_optimizer(named, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 1), (0, 1)]


def test_values_out_of_range_are_named_with_a_remedy() -> None:
    wrong = OptimizerConfig(lr=0, weight_decay=-1, beta1=1.0, beta2=-0.1, eps=0, max_grad_norm=-1)
    assert {problem.key for problem in wrong.problems()} == {
        f"optimizer.{key}"
        for key in ("lr", "weight_decay", "beta1", "beta2", "eps", "max_grad_norm")
    }
    overlapping = ScheduleConfig(decay=Decay.wsd, warmup_ratio=0.6, decay_ratio=0.5)
    assert "longer than the run" in overlapping.problems()[0].fault
    assert [problem.key for problem in ScheduleConfig(warmup_ratio=1).problems()] == [
        "schedule.warmup_ratio"
    ]
    assert not OptimizerConfig().problems() + ScheduleConfig().problems()
