"""What ranks do in tests of checkpoints: lives of a run of a tiny model, that save and go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

from pacos.distributed import World
from pacos.run_paths import RunPaths
from sft.checkpoints.protocol import Checkpoints
from sft.checkpoints.shards import DTYPES, WEIGHT, Shards, Span
from sft.configs.optimizer import OptimizerConfig
from sft.engine.deepspeed import backward, start_ranks
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from tests.sft.engines import Case, an_engine, config_of, packs_of, some_rows

LAST = 8
"""Steps of a run."""


@dataclass(frozen=True)
class Life:
    """From the newest checkpoint of a folder to a step, which is saved."""

    folder: Path
    case: Case
    until: int
    steps_a_save: int = 100


Told = list[tuple[float, float, float]]
"""Loss and gradient norm of each step, and a number drawn in it, another one on each rank."""


def live(lives: Sequence[Life]) -> list[Told]:
    """In each rank: one life after another."""
    world = World.from_env()
    start_ranks(world)
    return [live_once(life, world) for life in lives]


def live_once(life: Life, world: World) -> Told:
    shared = life.case.zero.get("sequence_ranks", 1)
    data_rank, data_ranks = world.rank // shared, world.size // shared
    passes = len(_shares(1, data_ranks, life.case.micro_packs)[0])
    engine = an_engine(life.case, world, passes)
    checkpoints = checkpoints_of(engine, life, world)
    torch.manual_seed(world.rank)
    told = []
    for number in range(checkpoints.load_newest(LAST) + 1, life.until + 1):
        own = _shares(number, data_ranks, life.case.micro_packs)[data_rank]
        told.append((*_step(engine, own, world), float(torch.rand(()))))
        if number % life.steps_a_save == 0 or number == life.until:
            checkpoints.save(number)
    checkpoints.finish()
    engine.destroy()
    return told


def checkpoints_of(engine: Any, life: Life, world: World) -> Checkpoints:
    config = config_of(life.case, world)
    return Checkpoints(RunPaths(life.folder), config, engine, "some rows", world)


def _shares(number: int, ranks: int, micro_packs: int) -> list[list[list[Any]]]:
    """Rows of each pass of each rank in a step: always the same ones, in passes of like number."""
    rows = some_rows()
    rows = rows[number % len(rows) :] + rows[: number % len(rows)]
    packs = packs_of(rows, packed=True)
    passes = -(-len(packs) // (ranks * micro_packs))
    shares = []
    for rank in range(ranks):
        own = packs[rank::ranks]
        cuts = [own[at * micro_packs : (at + 1) * micro_packs] for at in range(passes)]
        shares.append([[row for pack in cut for row in pack] for cut in cuts])
    return shares


def _step(engine: Any, passes: list[list[Any]], world: World) -> tuple[float, float]:
    supervised = sum(row.num_supervised for row in some_rows())
    total = torch.zeros(())
    for rows in passes:
        batch = Batch.of(rows, engine.device) if rows else Batch.empty(engine.device)
        nll = nll_sum(engine, batch)
        backward(engine, nll, supervised, world)
        total += nll.detach().float()
        engine.step()
    return float(world.sum(total)) / supervised, float(engine.get_global_grad_norm() or 0.0)


def kept(folder: Path) -> dict[tuple[str, str], torch.Tensor]:
    """All that the newest checkpoint of a run keeps of parameters, each tensor whole and flat."""
    newest = max(RunPaths(folder).checkpoints.glob("step-??????"))
    shards = Shards(sorted(newest.glob("*.safetensors")))
    return {
        (kind, name): elements(shards, Span(kind, name, 0, shards._complete_elements(kind, name)))
        for kind, name in shards._pieces
    }


def elements(shards: Shards, span: Span) -> torch.Tensor:
    """The elements of a span, in the number format of the files."""
    (stored,) = shards._dtypes
    (dtype,) = [dtype for dtype, name in DTYPES.items() if name == stored]
    found = torch.empty(span.count, dtype=dtype)
    shards.copy(span, found)
    return found


def kept_and_true(lives: Sequence[Life]) -> list[str]:
    """In each rank: what checkpoints keep otherwise than DeepSpeed tells it."""
    world = World.from_env()
    start_ranks(world)
    return [wrong for life in lives for wrong in _kept_and_true(life, world)]


def _kept_and_true(life: Life, world: World) -> list[str]:
    engine = an_engine(life.case, world, 2)
    checkpoints = checkpoints_of(engine, life, world)
    _step(engine, _shares(1, world.size, 1)[world.rank], world)
    checkpoints.save(1)
    checkpoints.finish()
    if life.case.stage < 3:
        # DeepSpeed 0.19.8 looks for moments after its first group's step; the second has none yet.
        engine.optimizer._hp_optimizer_states_linked = False
        engine.optimizer._lazy_init_hp_params_optimizer_state()
    found, wrong = kept(life.folder), []
    for name, parameter in engine.module.named_parameters():
        true = {WEIGHT: safe_get_full_fp32_param(parameter)}
        for moment in OptimizerConfig().STATES:
            true[moment] = safe_get_full_optimizer_state(parameter, moment)
        for kind, tensor in true.items():
            if not torch.equal(found[kind, name], tensor.flatten().to(found[kind, name].dtype)):
                wrong.append(f"{life.case}: {kind} of {name}")
    return wrong
