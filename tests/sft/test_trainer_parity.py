"""Loss for loss what transformers.Trainer makes of the same rows, in fp32, over several updates.

Trainer pads and averages over the tokens of all accumulated micro-batches; pacos packs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from pacos.distributed import World
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.engine.deepspeed import backward, start_ranks
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from tests.sft.engines import Case, a_model, an_engine, some_rows
from tests.sft.ranks import run_ranks

ROWS = 8
"""Of a step: four micro-batches of two for Trainer, two passes of one pack of four for pacos."""
STEPS = 6
CASE = Case(2, max_grad_norm=1.0)


def steps_of_rows() -> list[list[TokenizedRow]]:
    rows = some_rows(ROWS) * STEPS
    # Other rows together in every step: a mean of means would show.
    return [[rows[(7 * step + 3 * at) % len(rows)] for at in range(ROWS)] for step in range(STEPS)]


def padded(rows: Sequence[TokenizedRow]) -> dict[str, torch.Tensor]:
    longest = max(len(row.ids) for row in rows)

    def pad(values: Any, filling: int) -> list[int]:
        return [*map(int, values), *[filling] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([pad(row.ids, 0) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row.ids), 0) for row in rows]),
        "labels": torch.tensor([pad(row.labels, IGNORE) for row in rows]),
    }


class InOrder(Trainer):
    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer_losses(folder: Path) -> list[float]:
    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=ROWS // 2,
        max_steps=STEPS,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        max_grad_norm=CASE.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    rows: Any = [row for step in steps_of_rows() for row in step]
    trainer = InOrder(
        model=a_model().train(), args=arguments, train_dataset=rows, data_collator=padded
    )
    trainer.train()
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def engine_losses() -> list[float]:
    world = World.from_env()
    start_ranks(world)
    engine = an_engine(CASE, world, accumulation=2)
    losses = []
    for rows in steps_of_rows():
        tokens, nll = sum(row.num_supervised for row in rows), 0.0
        for half in (rows[: ROWS // 2], rows[ROWS // 2 :]):
            local = nll_sum(engine, Batch.of(half, engine.device))
            backward(engine, local, tokens, world)
            engine.step()
            nll += float(local)
        losses.append(nll / tokens)
    return losses


def test_losses_are_those_of_trainer(tmp_path: Path) -> None:
    (found,) = run_ranks(1, engine_losses)
    expected = trainer_losses(tmp_path)
    assert len(found) == STEPS
    # Trainer rounds what it logs in its last digits; nothing else may differ.
    assert found == pytest.approx(expected, rel=2e-5)
    assert expected[-1] < expected[0]
