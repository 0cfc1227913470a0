import math

import pytest
import torch
from transformers import optimization

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
def test_decay_falls_from_the_peak_towards_a_step_after_the_last(decay: Decay) -> None:
    falling = rates(decay, 0.1)[9:]
    assert falling[0] == falling[1] == 1.0
    assert falling == sorted(falling, reverse=True)
    assert 0 < falling[-1] <= 0.1


@pytest.mark.parametrize("decay", FALLING)
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.5])
@pytest.mark.parametrize("total", [1, 2, 3, 10, 100, 1219])
def test_decay_has_the_rates_of_transformers(decay: Decay, warmup: float, total: int) -> None:
    steps = math.ceil(warmup * total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = {
        Decay.cosine: lambda: optimization.get_cosine_schedule_with_warmup(optimizer, steps, total),
        Decay.linear: lambda: optimization.get_linear_schedule_with_warmup(optimizer, steps, total),
        Decay.wsd: lambda: optimization.get_wsd_schedule(
            optimizer,
            steps,
            min(math.ceil(total / 10), total - steps),
            num_training_steps=total,
            decay_type="linear",
        ),
    }[decay]()
    theirs = [schedule.lr_lambdas[0](step) for step in range(total)]
    ours = rates(decay, warmup, total)
    assert ours[steps:] == pytest.approx(theirs[steps:], abs=1e-12)
    assert ours[:steps] == pytest.approx([*theirs[1:], 1.0][:steps])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert learning_rate(51, 100, 1.0, ScheduleConfig(warmup_ratio=0.0)) == pytest.approx(0.5)


def test_constant_stays() -> None:
    assert set(rates(Decay.constant, 0.0)) == {1.0}


def test_wsd_stays_until_its_last_tenth_and_falls_straight() -> None:
    curve = rates(Decay.wsd, 0.03)
    assert set(curve[2:91]) == {1.0}
    assert curve[90:] == pytest.approx([1.0 - 0.1 * step for step in range(10)])


@pytest.mark.parametrize(
    ("decay", "total", "expected"),
    [
        (Decay.cosine, 1, [1]),
        (Decay.cosine, 2, [1, 1]),
        (Decay.cosine, 3, [1, 1, 0.5]),
        (Decay.linear, 1, [1]),
        (Decay.linear, 2, [1, 1]),
        (Decay.linear, 3, [1, 1, 0.5]),
        (Decay.wsd, 3, [1, 1, 1]),
        (Decay.constant, 3, [1, 1, 1]),
    ],
)
def test_the_shortest_runs_train_in_each_step(
    decay: Decay, total: int, expected: list[float]
) -> None:
    assert rates(decay, 0.03, total) == pytest.approx(expected)


@pytest.mark.parametrize("decay", Decay)
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.5, 0.9, 0.999])
def test_no_step_has_rate_0_and_none_is_above_the_peak(decay: Decay, warmup: float) -> None:
    for total in [*range(1, 40), 1000, 50_000]:
        curve = rates(decay, warmup, total)
        assert min(curve) > 0
        assert max(curve) == 1.0


@pytest.mark.parametrize("decay", Decay)
def test_warm_up_as_long_as_the_run_ends_at_the_peak(decay: Decay) -> None:
    assert rates(decay, 0.99, 4) == [0.25, 0.5, 0.75, 1.0]


def test_wsd_without_decay_stays() -> None:
    schedule = ScheduleConfig(decay=Decay.wsd, warmup_ratio=0.0, decay_ratio=0.0)
    assert {learning_rate(step, 10, 1.0, schedule) for step in range(1, 11)} == {1.0}


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
