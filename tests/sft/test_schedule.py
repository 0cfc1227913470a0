import pytest
import torch

from sft.config import Decay, OptimizerConfig, ScheduleConfig
from sft.schedule import build_optimizer, learning_rate


def rates(decay: Decay, warmup: float, total: int = 100) -> list[float]:
    schedule = ScheduleConfig(decay=decay, warmup_ratio=warmup)
    return [learning_rate(step, total, 1.0, schedule) for step in range(1, total + 1)]


def test_warm_up_rises_evenly_to_the_peak() -> None:
    assert rates(Decay.cosine, 0.03)[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("decay", [Decay.cosine, Decay.linear])
def test_decay_ends_at_zero(decay: Decay) -> None:
    falling = rates(decay, 0.1)[9:]
    assert falling[0] == 1.0
    assert falling[-1] == pytest.approx(0.0, abs=1e-12)
    assert falling == sorted(falling, reverse=True)


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert learning_rate(50, 100, 1.0, ScheduleConfig(warmup_ratio=0.0)) == pytest.approx(0.5)


def test_constant_stays() -> None:
    assert set(rates(Decay.constant, 0.0)) == {1.0}


def test_norms_are_not_decayed() -> None:
    weight, norm = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    named = [("layers.0.mlp.weight", weight), ("layers.0.input_layernorm.weight", norm)]
    groups = build_optimizer(named, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 1), (0, 1)]
