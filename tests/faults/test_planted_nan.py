"""A loss that becomes NaN at one step of one rank, in a whole run that then goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.tracking import metrics
from tests.sft.small_runs import small_config, train

STEP = 3


@contextlib.contextmanager
def not_a_number() -> Iterator[None]:
    """A plant: in the third step the loss of rank 1 is none."""
    import sft.trainer

    plain_step, plain_loss = sft.trainer.Trainer.train_step, sft.trainer.nll_sum
    number = 0

    def step(trainer: Any, step: Any) -> Any:
        nonlocal number
        number = step.number
        return plain_step(trainer, step)

    def loss(*arguments: Any) -> torch.Tensor:
        planted = number == STEP and os.environ["RANK"] == "1"
        return plain_loss(*arguments) * (torch.nan if planted else 1.0)

    sft.trainer.Trainer.train_step, sft.trainer.nll_sum = step, loss
    try:
        yield
    finally:
        sft.trainer.Trainer.train_step, sft.trainer.nll_sum = plain_step, plain_loss


def test_it_ends_the_run_and_the_next_life_goes_on_before_it(tmp_path: Path) -> None:
    configs = [small_config(tmp_path, name) for name in ("straight", "planted", "planted")]
    for config in configs:
        config.checkpoint.every_steps = 1
    plants = [nullcontext, not_a_number, nullcontext]
    (straight, _), (_, code), (run, last_code) = train(2, configs, plants)
    assert (code, last_code) == (EXIT_USER_ERROR, EXIT_DONE)
    assert Lives(run).state() is State.done
    first, second = read_jsonl(run.attempts)
    assert first["exit_code"] == EXIT_USER_ERROR
    assert "health.nonfinite_steps = 0: train/loss nan" in first["reason"]
    assert (first["last_step"], second["first_step"]) == (STEP, STEP)
    (cut,) = read_jsonl(run.path / "health.cut.jsonl")
    assert (cut["step"], cut["event"], cut["passes"][0]["rank"]) == (STEP, "not finite", 1)
    assert [line["step"] for line in read_jsonl(run.path / "metrics.cut.jsonl")] == [STEP]
    losses = [[line[metrics.LOSS] for line in read_jsonl(one.metrics)] for one in (straight, run)]
    assert losses[0] == losses[1]
    weights = [one.model / "model.safetensors" for one in (straight, run)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
