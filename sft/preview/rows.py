"""Rows of a run as its batches hold them, and the use that the run makes of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.tokens import Reason
from sft.config import SFTConfig
from sft.data.mixture import Mixture, load_data, load_heldout
from sft.data.split import split
from sft.data.token_cache import TokenCache
from sft.data.tokenizer import build_tokenizer
from sft.preview.pieces import Piece, pieces
from sft.preview.place import find, last_places
from sft.preview.signs import TokenText, sanitized
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan
from sft.steps.stream import StepStream

CPU = torch.device("cpu")
ALONE = World(rank=0, size=1, local_rank=0)


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row, or one of the examples made of it."""

    place: str
    """Its file and line."""
    use: str
    """The step that trains on it, or the reason why none does."""
    pieces: Sequence[Piece] = ()
    """Empty for a row that is left out."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def trained(self) -> int:
        """Number of tokens with a loss."""
        return sum(len(piece.ids) for piece in self.pieces if piece.reason is Reason.trained)


class RunRows:
    """The rows of a run, from training's own loader, split, plan and batches."""

    def __init__(
        self, config: SFTConfig, tokenizer: Tokenizer, data: Mixture, own_held: Mixture | None
    ) -> None:
        """Split and plan the rows.

        Args:
            config: of the run.
            tokenizer: of the model.
            data: all rows of the epoch.
            own_held: the rows of `validation.path`, if it is set.

        Raises:
            UserError: there are too few rows for the split or for a step.
        """
        self.config = config
        self.data = data
        self.own_held = own_held
        self.training, self.held = split(data, own_held, config.validation.rows, config.seed)
        self._plan = StepPlan.of(
            self.training.lengths, config.data.max_length, config.batch, config.model.shape
        )
        # The run's own number of ranks: its batches are shown, not those of one rank alone.
        world = World(rank=0, size=config.cluster.world_size(), local_rank=0)
        self._stream = StepStream(config, self.training, self._plan, world)
        self._texts = TokenText(tokenizer)

    @classmethod
    def load(cls, config: SFTConfig) -> RunRows:
        """Tokenize the data as training does, into the same cache.

        Raises:
            UserError: the data cannot be used.
        """
        tokenizer = build_tokenizer(config.model)
        data = load_data(config, tokenizer, ALONE)
        return cls(config, tokenizer, data, load_heldout(config, tokenizer, ALONE))

    @property
    def parts(self) -> list[TokenCache]:
        """Every source: those of the training, then that of `validation.path`."""
        return [*self.data.parts, *([] if self.own_held is None else self.own_held.parts)]

    def first(self, count: int) -> list[PreviewRow]:
        """Return the rows that are trained on first."""
        return list(islice(self._in_steps(after=0), count))

    def at(self, place: str) -> list[PreviewRow]:
        """Return the examples of one row, or the reason why it has none.

        Args:
            place: FILE:LINE, FILE:NUMBER for tables, or as a message names the row.

        Raises:
            UserError: there is no such row.
        """
        found = find(place, self.parts)
        rows = [row for part, number in found for row in self._examples(part, number)]
        if not rows:
            raise UserError(f"--row {place}: {last_places(found)}")
        return rows

    def _examples(self, part: TokenCache, number: int) -> Iterator[PreviewRow]:
        place = part.source.place(number)
        shortened = _reason(part.facts["dropped"], number)
        if shortened is not None:
            shortened = f"{shortened} (data.max_length = {self.config.data.max_length})"
        indices = np.flatnonzero(part.numbers == number).tolist()
        for count, index in enumerate(indices, start=1):
            row = self._example(part, index)
            use = f"example {count} of {len(indices)}, {row.use}" if len(indices) > 1 else row.use
            use = use if shortened is None else f"{use}; {shortened}"
            yield PreviewRow(place, use, row.pieces)
        if not indices:
            reason = shortened or _reason(part.facts["quarantined"], number)
            if reason is not None:
                yield PreviewRow(place, f"not used: {reason}")

    def _example(self, part: TokenCache, index: int) -> PreviewRow:
        """Return an example from the batch that trains on it, or alone if none does."""
        positions = _positions(self.training, part, index)
        if not len(positions):
            use = self._reason_untrained(part, index)
        else:
            first = int(positions[0])
            row = self._in_first_epoch(first)
            if row is not None:
                times = f"; {len(positions)} times in an epoch" if len(positions) > 1 else ""
                return PreviewRow(row.place, row.use + times, row.pieces)
            use = f"not trained on: the run ends before, at step {self._stream.last}"
        place = part.source.place(int(part.numbers[index]))
        batch = Batch.of([part.row(index)], CPU)
        return PreviewRow(place, use, pieces(part.encoded(index), batch, 0, self._texts))

    def _reason_untrained(self, part: TokenCache, index: int) -> str:
        if len(_positions(self.held, part, index)):
            return "held out for validation"
        digest = part.digests[index]
        is_copy = bool((self.held.digests() == digest).any())
        if any(part is other for other in self.data.parts):
            if is_copy:
                return "not trained on: it has the same tokens as a row held out for validation"
            return "not trained on: the weight of its source is below 1 and draws other rows"
        if (self.data.digests() == digest).any():
            return "not measured: a row with the same tokens is trained on"
        if is_copy:
            return "not measured: a row with the same tokens already is"
        return f"not measured: validation.rows = {self.config.validation.rows} draws other rows"

    def _in_first_epoch(self, position: int) -> PreviewRow | None:
        """Return a row of the training from its batch; None if the run ends before it."""
        steps = min(self._plan.steps_per_epoch, self._stream.last)
        for index in range(steps):
            packs = self._plan.step(self.config.seed, 0, index)
            if position in self._plan.rows(packs):
                return next(self._in_steps(after=index, only=position))
        return None

    def _in_steps(self, after: int, only: int | None = None) -> Iterator[PreviewRow]:
        """Yield the rows of the steps after one, or of these only the one at a position."""
        for step in self._stream.after(after):
            for rank, own in enumerate(step.passes):
                for number, indices in enumerate(own, start=1):
                    if only is not None and only not in indices:
                        continue
                    use = f"step {step.number}"
                    use += f", rank {rank}" if len(step.passes) > 1 else ""
                    use += f", pass {number}" if len(own) > 1 else ""
                    yield from self._in_batch(indices, use, only)

    def _in_batch(self, indices: Sequence[int], use: str, only: int | None) -> Iterator[PreviewRow]:
        batch = self._stream.batch(indices, CPU)
        starts = batch.cu_seq_lens.tolist()
        for index, begin in zip(indices, starts, strict=False):
            if only is None or index == only:
                shown = pieces(self.training.encoded(index), batch, begin, self._texts)
                yield PreviewRow(self.training.place(index), use, shown)


def _positions(data: Mixture, part: TokenCache, index: int) -> Any:
    """Return the positions of a row of a source in a mixture; none if it has no such source."""
    before = 0
    for other in data.parts:
        if other is part:
            return np.flatnonzero(data.indices == before + index)
        before += len(other.lengths)
    return np.array([], dtype=np.int64)


def _reason(facts: Sequence[dict[str, Any]], number: int) -> str | None:
    return next((sanitized(row["reason"]) for row in facts if row["number"] == number), None)
