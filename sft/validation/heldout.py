"""Held-out rows during training: their loss, and the model's answers to some of them.

Neither affects the training: no random number is drawn and no gradient is kept. Packs are divided
over ranks so that any number of ranks measures the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig

from pacos.distributed import World
from pacos.files import append_jsonl
from pacos.model.protocols import Tokenizer
from pacos.prompts.tokens import IGNORE, TokenizedRow
from pacos.run.stop import NEVER_STOP, StopCheck
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.data.mixture import Mixture
from sft.data.tokenizer import stop_ids
from sft.engine.protocol import Engine
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan


class Validation:
    """The measurements on held-out rows. Every rank takes part; only rank 0 writes."""

    def __init__(
        self,
        config: SFTConfig,
        held: Mixture,
        engine: Engine,
        tokenizer: Tokenizer,
        samples: Path,
        world: World,
        stop: StopCheck = NEVER_STOP,
    ) -> None:
        """Lay the held-out rows out in packs.

        Args:
            config: config of the run.
            held: the held-out rows; if there are none, nothing is measured.
            engine: the engine that trains the model.
            tokenizer: the model's tokenizer.
            samples: file of the answers.
            world: this rank.
            stop: asked before each pass and each token; must stop every rank or none.
        """
        self._config = config.validation
        self._held = held
        self._engine = engine
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids(config, tokenizer, engine.module)
        self._samples = samples
        self._world = world
        self._stop = stop
        self._passes: list[list[int]] = []
        if len(held):
            # One pack per pass: in bf16 the number of packs in a pass changes the last digits.
            batch = replace(config.batch, rows=len(held), tokens=None, micro_packs=1)
            plan = StepPlan.of(held.lengths, config.data.max_length, batch, config.model.shape)
            ranks = config.deepspeed.data_ranks(world.size)
            shares = plan.divide(np.arange(len(plan.packs)), ranks)
            own = shares[world.rank * ranks // world.size]
            self._passes = [plan.rows(packs).tolist() for packs in own]

    def measure(self, step: int, last: int) -> dict[str, float]:
        """Return what is due after a step (0: before the first) of a run of `last` steps.

        Raises:
            Stopped: on every rank; nothing of the measurement is kept.
        """
        is_due = step in (0, last) or step % self._config.every_steps == 0
        if not is_due or not len(self._held):
            return {}
        self._engine.eval()
        # A hook, because `generate` calls the model once per token by itself. Every rank makes the
        # same number of calls, also while answers are written, so the collective is matched.
        hook = self._engine.module.register_forward_pre_hook(lambda *_: self._stop.check())
        try:
            with torch.no_grad():
                loss = self._loss()
                self._write_samples(step)
        finally:
            hook.remove()
        self._engine.train()
        return {metrics.VALIDATION_LOSS: loss}

    def _loss(self) -> float:
        """Return nats per supervised token over all held-out rows."""
        # fp64: the sum is over ranks, in an order that depends on their number.
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
        questions = [_question(self._held.row(row)) for row in rows]
        answers = self._answers([prompt for prompt, _ in questions])
        if not self._world.is_main:
            return
        lines = []
        for row, (prompt, reference), answer in zip(rows, questions, answers, strict=True):
            stopped = bool(set(answer) & set(self._stop_ids))
            texts = {
                # With special tokens: this is what the model sees.
                "prompt": self._tokenizer.decode(prompt, skip_special_tokens=False),
                "reference": self._tokenizer.decode(reference, skip_special_tokens=True),
                "answer": self._tokenizer.decode(answer, skip_special_tokens=True),
            }
            place = {"row": self._held.place(row)}
            lines.append({metrics.STEP: step, **place, **texts, "stopped": stopped})
        append_jsonl(self._samples, lines)

    def _answers(self, prompts: list[list[int]]) -> list[list[int]]:
        """Return the most likely tokens after each prompt, the same on every rank."""
        longest, pad = max(map(len, prompts)), self._tokenizer.pad_token_id
        assert pad is not None, "load_tokenizer refuses a tokenizer without one"
        ids = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self._engine.device
        output = self._engine.module.generate(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            # The model's own config may ask for sampling, which would draw random numbers.
            generation_config=GenerationConfig(
                max_new_tokens=self._config.sample_tokens,
                do_sample=False,
                use_cache=True,
                eos_token_id=self._stop_ids,
                pad_token_id=pad,
            ),
            # Under ZeRO-3 every forward pass gathers parameters from all ranks.
            synced_gpus=self._world.size > 1,
        )
        return [_until_stop(row, self._stop_ids) for row in output[:, longest:].tolist()]


def _question(row: TokenizedRow) -> tuple[list[int], list[int]]:
    """Return the tokens before a row's first answer, and that answer."""
    is_supervised = np.asarray(row.labels) != IGNORE
    first = int(is_supervised.argmax())
    rest = is_supervised[first:]
    # argmin of all True is 0, so an answer that ends the row is its own case.
    end = first + (int((~rest).argmax()) if not rest.all() else len(rest))
    ids = np.asarray(row.ids)
    return ids[:first].tolist(), ids[first:end].tolist()


def _until_stop(ids: list[int], stop_ids: list[int]) -> list[int]:
    """Return the tokens up to and including the first stop token; padding follows it."""
    for index, token in enumerate(ids):
        if token in stop_ids:
            return ids[: index + 1]
    return ids
