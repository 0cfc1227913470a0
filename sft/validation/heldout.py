"""Held-out rows: their loss, and answers to some of them, while the model trains.

Neither touches the training: no random number is drawn, no gradient is kept, and packs are divided
over ranks so that another number of ranks measures the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from pacos.distributed import World
from pacos.files import append_jsonl
from pacos.model.prompts import IGNORE, TokenizedRow
from pacos.run.stop import Check, go_on
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.data.mixture import Mixture
from sft.data.tokenizer import stop_ids
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan


class Validation:
    """The measurements of one life. Every rank takes part; only rank 0 writes."""

    def __init__(
        self,
        config: SFTConfig,
        held: Mixture,
        engine: Any,
        tokenizer: Any,
        samples: Path,
        world: World,
        check: Check = go_on,
    ) -> None:
        """Lay the held-out rows out in packs.

        Args:
            config: of the run.
            held: the rows that are not trained on; none: nothing is measured.
            engine: of DeepSpeed.
            tokenizer: of the model.
            samples: file of the answers.
            world: this rank.
            check: called before each pass and each token; stops every rank or none.
        """
        self._config = config.validation
        self._held = held
        self._engine = engine
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids(config, tokenizer, engine.module)
        self._samples = samples
        self._world = world
        self._check = check
        self._passes: list[list[int]] = []
        if len(held):
            # One pack a pass: how many packs a pass has would change the last digits in bf16.
            batch = replace(config.batch, rows=len(held), tokens=None, micro_packs=1)
            plan = StepPlan.of(held.lengths, config.data.max_length, batch, config.model.shape)
            ranks = config.deepspeed.data_ranks(world.size)
            every = plan.divide(np.arange(len(plan.packs)), ranks)
            own = every[world.rank * ranks // world.size]
            self._passes = [plan.rows(packs).tolist() for packs in own]

    def at(self, step: int, last: int) -> dict[str, float]:
        """What is measured after a step (0: before the first) of a run of `last` steps.

        Raises:
            Stopped: on every rank; nothing of it is kept.
        """
        due = step in (0, last) or step % self._config.every_steps == 0
        if not due or not len(self._held):
            return {}
        self._engine.eval()
        # Every rank makes the same number of passes, when it writes answers too.
        look = self._engine.module.register_forward_pre_hook(lambda *_: self._check())
        try:
            with torch.no_grad():
                loss = self._loss()
                self._write_samples(step)
        finally:
            look.remove()
        self._engine.train()
        return {metrics.VALIDATION_LOSS: loss}

    def _loss(self) -> float:
        """Nats a supervised token over all held-out rows."""
        total = torch.zeros((), dtype=torch.float64, device=self._engine.device)
        for rows in self._passes:
            documents = [self._held.row(row) for row in rows]
            device = self._engine.device
            batch = Batch.of(documents, device) if documents else Batch.empty(device)
            total += nll_sum(self._engine, batch)
        return float(self._world.sum(total)) / int(self._held.num_supervised.sum())

    def _write_samples(self, step: int) -> None:
        rows = range(min(self._config.samples, len(self._held)))
        if not rows:
            return
        asked = [_question(self._held.row(row)) for row in rows]
        answers = self._answers([ids for ids, _ in asked])
        if not self._world.is_main:
            return
        written = []
        for row, (prompt, reference), answer in zip(rows, asked, answers, strict=True):
            stopped = bool(set(answer) & set(self._stop_ids))
            texts = {"prompt": prompt, "reference": reference, "answer": answer}
            shown = {name: self._text(ids, name) for name, ids in texts.items()}
            place = {"row": self._held.place(row)}
            written.append({metrics.STEP: step, **place, **shown, "stopped": stopped})
        append_jsonl(self._samples, written)

    def _text(self, ids: list[int], name: str) -> str:
        # The prompt is shown as the model sees it.
        text: str = self._tokenizer.decode(ids, skip_special_tokens=name != "prompt")
        return text

    def _answers(self, prompts: list[list[int]]) -> list[list[int]]:
        """The most likely tokens after each prompt; the same on every rank."""
        longest, pad = max(map(len, prompts)), self._tokenizer.pad_token_id
        ids = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self._engine.device
        out = self._engine.module.generate(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(seen, device=device),
            # The model's own may ask for sampling, which would draw random numbers.
            generation_config=GenerationConfig(
                max_new_tokens=self._config.sample_tokens,
                do_sample=False,
                use_cache=True,
                eos_token_id=self._stop_ids,
                pad_token_id=pad,
            ),
            synced_gpus=self._world.size > 1,
        )
        return [_until_stop(row, self._stop_ids) for row in out[:, longest:].tolist()]


def _question(row: TokenizedRow) -> tuple[list[int], list[int]]:
    """The tokens before a row's first answer, and that answer."""
    carries = np.asarray(row.labels) != IGNORE
    first = int(carries.argmax())
    rest = carries[first:]
    end = first + (int((~rest).argmax()) if not rest.all() else len(rest))
    ids = np.asarray(row.ids)
    return ids[:first].tolist(), ids[first:end].tolist()


def _until_stop(ids: list[int], stop_ids: list[int]) -> list[int]:
    """The tokens up to the stop token, and this one; what follows is padding."""
    for at, token in enumerate(ids):
        if token in stop_ids:
            return ids[: at + 1]
    return ids
