"""Ranks and their gradients: checks pass, and fail on the fault that they are for."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pacos.checks import Finding, Outcome, Skipped, run_check
from pacos.configs.frozen import freeze
from pacos.distributed import World
from sft.checkpoints import engine_state
from sft.config import SFTConfig
from sft.configs.deepspeed import DeepSpeedConfig
from sft.doctor import ranks
from tests.sft.ranks import run_ranks


@contextlib.contextmanager
def mean_of_means() -> Iterator[None]:
    """Each pass is divided by its own tokens, as in many loops."""
    from sft.model import loss

    plain = loss.nll_sum

    def planted(engine: Any, batch: Any) -> Any:
        usual = 40.0
        return plain(engine, batch) * usual / max(1, len(batch.targets))

    loss.nll_sum = planted
    try:
        yield
    finally:
        loss.nll_sum = plain


@contextlib.contextmanager
def lost_pass() -> Iterator[None]:
    """The second rank's last pass is not added."""
    from sft.engine import deepspeed as engine

    plain, passes = engine.backward, []

    def planted(running: Any, nll: Any, step_tokens: int, world: World) -> None:
        passes.append(nll)
        lost = world.rank == 1 and len(passes) == 2
        plain(running, nll * 0.0 if lost else nll, step_tokens, world)

    engine.backward = planted
    try:
        yield
    finally:
        engine.backward = plain


@contextlib.contextmanager
def wrong_sums() -> Iterator[None]:
    """A link that drops what the last rank sends."""
    from torch import distributed

    plain = distributed.all_reduce

    def planted(tensor: Any, *arguments: Any, **options: Any) -> Any:
        if tensor.numel() == 1 << 16 and distributed.get_rank() == 1:
            tensor.zero_()
        return plain(tensor, *arguments, **options)

    distributed.all_reduce = planted
    try:
        yield
    finally:
        distributed.all_reduce = plain


@contextlib.contextmanager
def other_rows() -> Iterator[None]:
    """The second rank reads another copy of the data."""
    plain = ranks.read_first_rows

    def planted(config: SFTConfig, tokenizer: Any) -> Any:
        rows = list(plain(config, tokenizer))
        return rows[World.from_env().rank :]

    ranks.read_first_rows = planted
    try:
        yield
    finally:
        ranks.read_first_rows = plain


@contextlib.contextmanager
def forgotten_moment() -> Iterator[None]:
    """Adam's second moment begins anew after a resume."""
    plain = engine_state.EngineState.fill

    def planted(self: Any, copy: Callable[[Any, torch.Tensor], None], updates: int) -> None:
        def other(span: Any, into: torch.Tensor) -> None:
            copy(span, into)
            if span.kind == "exp_avg_sq":
                into.zero_()

        plain(self, other, updates)

    engine_state.EngineState.fill = planted
    try:
        yield
    finally:
        engine_state.EngineState.fill = plain


@contextlib.contextmanager
def stale_weights() -> Iterator[None]:
    """The working weights stay what they were before a resume."""
    plain = engine_state.EngineState.update_working_weights
    engine_state.EngineState.update_working_weights = lambda self: None
    try:
        yield
    finally:
        engine_state.EngineState.update_working_weights = plain


Case = tuple[str, SFTConfig, Callable[[], contextlib.AbstractContextManager[None]]]


def run_checks(cases: Sequence[Case], path: Path) -> list[Finding]:
    """In each rank: one check a case, as `sft.doctor.ranks` runs it."""
    from sft.engine.deepspeed import start_ranks

    world = World.from_env()
    device = start_ranks(world)
    found = []
    for name, config, plant in cases:
        checks: dict[str, Callable[[], str | Skipped]] = {
            "communication": lambda: ranks.communication(world, device),
            "ranks agree": lambda c=config: ranks.agreement(c, path, world),
            "gradients": lambda c=config: ranks.gradients(c, world, device),
            "resume": lambda c=config: ranks.resume(c, path.parent, world, device),
        }
        with plant():
            found.append(ranks.first_failure(run_check(name, checks[name]), world))
    return found


WELL = contextlib.nullcontext


def test_ranks_find_what_is_wrong_between_them(config: SFTConfig, tmp_path: Path) -> None:
    def zero(stage: int, **more: Any) -> SFTConfig:
        return dataclasses.replace(config, deepspeed=DeepSpeedConfig(stage=stage, **more))

    expected: list[tuple[Case, Outcome, str]] = [
        (
            ("communication", config, WELL),
            Outcome.ok,
            "gloo reduces, gathers and broadcasts correctly",
        ),
        (("communication", config, wrong_sums), Outcome.failed, "all_reduce gave wrong numbers"),
        (("ranks agree", config, WELL), Outcome.ok, "tokenizer, first rows are the same on 2"),
        (("ranks agree", config, other_rows), Outcome.failed, "first rows of rank 1: "),
        *(
            (("gradients", zero(stage), WELL), Outcome.ok, f"ZeRO-{stage} over 2 ranks")
            for stage in (2, 3)
        ),
        (("gradients", zero(1, sequence_ranks=2), WELL), Outcome.ok, "ZeRO-1 over 2 ranks"),
        (("gradients", zero(2), mean_of_means), Outcome.failed, "the gradient differs by "),
        (("gradients", zero(1), lost_pass), Outcome.failed, "deepspeed.stage = 1: over 2 ranks"),
        *(
            (("resume", zero(stage), WELL), Outcome.ok, f"ZeRO-{stage} over 2 ranks in bf16: state")
            for stage in (2, 3)
        ),
        (("resume", zero(1), forgotten_moment), Outcome.failed, "exp_avg_sq/model.embed_tokens"),
        (("resume", zero(2), stale_weights), Outcome.failed, "the next loss is "),
    ]
    path = tmp_path / "config.yaml"
    freeze(config, path)
    found = run_ranks(2, run_checks, [case for case, _, _ in expected], path)[0]
    for finding, (case, outcome, said) in zip(found, expected, strict=True):
        assert finding.outcome is outcome, (case[0], finding)
        assert said in finding.message


def test_one_rank_has_nobody_to_agree_with(config: SFTConfig, tmp_path: Path) -> None:
    alone = World(rank=0, size=1, local_rank=0)
    assert isinstance(ranks.communication(alone, torch.device("cpu")), Skipped)
    assert isinstance(ranks.agreement(config, tmp_path, alone), Skipped)
