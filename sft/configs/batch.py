"""Config of the batch: the size of an optimizer step, and the layout of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pacos.errors import Problem
from pacos.identity import FREE


class Layout(Enum):
    """The layout of rows in a forward pass."""

    packed = "packed"
    grouped = "grouped"
    padded = "padded"


@dataclass(kw_only=True, slots=True)
class BatchConfig:
    """Size of one optimizer step over all ranks. Set exactly one of `rows` and `tokens`."""

    rows: int | None = None
    """Mean rows per step. Steps hold whole packs, so the mean may be slightly lower."""
    tokens: int | None = None
    """Mean tokens per step. Steps hold whole packs, so the mean may be slightly lower."""
    layout: Layout = Layout.packed
    """`packed`: rows share packs of data.max_length tokens, with almost no padding. `grouped`: one
    row per pack; rows of similar length go through the model together, padded to the longest.
    `padded`: the same in random order, as Alpaca was trained; slowest."""
    micro_packs: int = field(default=1, metadata=FREE)
    """Packs that a rank puts through the model per pass. More are faster until the GPU is busy, and
    need memory for the activations of all of them; the step stays the same."""

    def problems(self, max_length: int, ranks: int) -> list[Problem]:
        """Return everything wrong with the values.

        Args:
            max_length: tokens of a pack.
            ranks: ranks that divide the rows of a step among themselves.
        """
        too_small = [
            Problem(f"batch.{key}", value, "must be at least 1", "raise it")
            for key in ("rows", "tokens", "micro_packs")
            if (value := getattr(self, key)) is not None and value < 1
        ]
        if too_small:
            return too_small
        if (self.rows is None) == (self.tokens is None):
            fault = "exactly one of the two must set the size of a step"
            remedy = "set one and make the other null"
            return [
                Problem("batch.rows, batch.tokens", f"{self.rows}, {self.tokens}", fault, remedy)
            ]
        packed = self.layout is Layout.packed
        if packed and self.tokens is not None and self.tokens < ranks * max_length:
            fault = (
                f"cannot be divided: one pack of {max_length} tokens on each of {ranks} ranks is "
                f"{ranks * max_length} tokens"
            )
            remedy = "raise batch.tokens, or lower data.max_length or cluster.ranks_per_node"
            return [Problem("batch.tokens", self.tokens, fault, remedy)]
        if self.rows is not None and self.rows < ranks:
            fault = f"cannot be divided: each of {ranks} ranks needs a row"
            return [Problem("batch.rows", self.rows, fault, "raise it, or use fewer ranks")]
        return []
