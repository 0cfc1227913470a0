"""Another DeepSpeed, whose private members have other names, is refused with both versions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import deepspeed
import pytest
import torch

from pacos.errors import UserError
from pacos.versions import TESTED
from sft.engine.private_state import (
    FlatPartition,
    Fragment,
    ParameterPartition,
    ReplicatedWeights,
    master_weights,
)


@pytest.mark.parametrize(
    ("build", "lacking"),
    [
        (lambda: FlatPartition(SimpleNamespace(param_groups=[]), {}), "update_lp_params"),
        (
            lambda: FlatPartition(
                SimpleNamespace(param_groups=[], update_lp_params=None),
                {torch.nn.Parameter(torch.ones(1)): "weight"},
            ),
            "its Parameter has no _hp_mapping",
        ),
        (lambda: ParameterPartition(SimpleNamespace(fp16_groups=[]), {}), "grad_position, get_"),
        (lambda: master_weights(SimpleNamespace()), "basic_optimizer"),  # type: ignore[arg-type]
    ],
)
def test_a_missing_member_is_named_with_both_versions(
    build: Any, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepspeed, "__version__", "0.99.0")
    with pytest.raises(UserError) as refused:
        build()
    message = str(refused.value)
    assert message.startswith("deepspeed = 0.99.0: its ")
    assert lacking in message
    assert message.endswith(f"pip install deepspeed=={TESTED['deepspeed']}")


def test_shares_of_a_fragment_are_the_fragment() -> None:
    shares = [Fragment("weight", 5, 10, 100).share(index, 3) for index in range(3)]
    assert [(each.start, each.count, each.offset) for each in shares] == [
        (5, 3, 100),
        (8, 3, 103),
        (11, 4, 106),
    ]


def test_without_zero_working_and_master_weights_may_be_the_same() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = torch.optim.AdamW([weight])
    master = ReplicatedWeights(optimizer, {weight: "weight"})
    (tensor,) = master.tensors
    assert tensor.values is weight
    assert tensor.fragments == [Fragment("weight", 0, 6, 0)]
    master.update_working_weights()
    assert torch.equal(weight, torch.ones(2, 3))
