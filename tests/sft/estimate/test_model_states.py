"""What is said to be held, against the tensors that DeepSpeed's own engines hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch

from pacos.distributed import World
from sft.configs.compute import Precision
from sft.configs.deepspeed import Offload
from sft.configs.optimizer import OptimizerConfig
from sft.engine import deepspeed as engine
from sft.estimate.model_states import model_states
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from tests.sft import engines
from tests.sft.engines import Case, an_engine, config_of, some_rows
from tests.sft.ranks import run_ranks

DEEP = dataclasses.replace(engines.SHAPE, num_hidden_layers=24)
"""So many small matrices that one which two ranks share weighs nothing."""
OFFLOADED = {"offload_optimizer": Offload.cpu}
QUICK = [Case(stage, precision=Precision.bf16) for stage in (2, 3)]
OTHER = [precision for precision in Precision if precision is not Precision.bf16]
REST = [
    Case(0),
    *(Case(stage, precision=Precision.bf16) for stage in (0, 1)),
    *(
        Case(stage, precision=other)
        for stage in (1, 2, 3)
        for other in Precision
        if other is not Precision.bf16
    ),
    *(Case(stage, zero=OFFLOADED, precision=Precision.bf16) for stage in (1, 2, 3)),
]


def size(tensors: Iterable[torch.Tensor | None]) -> int:
    """Bytes of the memory behind tensors, each counted once."""
    storages = {}
    for tensor in tensors:
        if tensor is not None:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def weights(made: Any) -> list[torch.Tensor]:
    waiting = getattr(made.optimizer, "param_buffer_of_bit16_for_cpu_offload_groups", [])
    return [getattr(p, "ds_tensor", p).data for p in made.module.parameters()] + waiting


def gradients(made: Any, case: Case) -> list[torch.Tensor | None]:
    """After a backward pass that is not the step's last."""
    optimizer, masters = made.optimizer, master(made)
    own = [p.grad for p in made.module.parameters()]
    own += [getattr(p, "grad_accum", None) for p in made.module.parameters()]
    if case.stage == 3:
        return [optimizer.grad_partitions_flat_buffer, *(copy.grad for copy in masters)]
    if case.stage == 0:
        return own
    if hasattr(optimizer, "fp32_groups_gradients_flat"):
        return [*own, *optimizer.fp32_groups_gradients_flat]
    for group in optimizer.averaged_gradients.values():
        own += group or []
    for group in optimizer.all_grad_tensors.values():
        own += group or []
    return [*own, *(copy.grad for copy in masters)]


def master(made: Any) -> list[torch.Tensor]:
    """The optimizer's own copy of the weights."""
    for name in (
        "single_partition_of_fp32_groups",
        "fp32_groups_flat_partition",
        "fp32_partitioned_groups_flat",
    ):
        if hasattr(made.optimizer, name):
            return list(getattr(made.optimizer, name))
    return [p for group in getattr(made.optimizer, "fp32_groups", []) for p in group]


def moments(made: Any) -> list[torch.Tensor]:
    states = made.basic_optimizer.state.values()
    return [state[name] for state in states for name in OptimizerConfig().STATES]


def what_engines_hold(cases: Sequence[Case]) -> list[dict[str, int]]:
    """Bytes of each part, in the second step after its first pass."""
    engines.SHAPE = DEEP
    world = World.from_env()
    engine.start_ranks(world)
    found = []
    for case in cases:
        made = an_engine(case, world, accumulation=2)
        rows = some_rows()[world.rank : world.rank + 1]
        for index in range(3):
            nll = nll_sum(made, Batch.of(rows, made.device))
            engine.backward(made, nll, 1, world)
            if index < 2:
                made.step()
        parts = {
            "parameters": weights(made),
            "gradients": gradients(made, case),
            "master": master(made),
            "optimizer": moments(made),
        }
        found.append({name: size(tensors) for name, tensors in parts.items()})
        made.destroy()
    return found


@pytest.mark.parametrize(
    "cases", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"]
)
def test_bytes_are_those_of_the_engine(cases: list[Case]) -> None:
    measured = run_ranks(2, what_engines_hold, cases)
    for number, case in enumerate(cases):
        config = config_of(case, World(rank=0, local_rank=0, size=2))
        config.model.shape = DEEP
        predicted = model_states(config)
        for part in ("parameters", "gradients", "master", "optimizer"):
            amount = getattr(predicted, part)
            mean = sum(rank[number][part] for rank in measured) / len(measured)
            assert mean == pytest.approx(amount.device + amount.host, rel=0.01), (case, part)
