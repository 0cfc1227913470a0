"""Config of the batch: what one optimizer step holds, and how its rows lie."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pacos.errors import Problem


class Layout(Enum):
    """How rows lie in what goes through the model at once."""

    packed = "packed"
    grouped = "grouped"
    padded = "padded"


@dataclass(kw_only=True, slots=True)
class BatchConfig:
    """Size of one optimizer step, over all ranks; exactly one of `rows` and `tokens` is set."""

    rows: int | None = None
    """Rows that a step holds: on average, and the average may be a little less."""
    tokens: int | None = None
    """Tokens that a step holds: on average, and the average may be a little less."""
    layout: Layout = Layout.packed
    """`packed`: rows share packs of data.max_length tokens, nearly without gaps. `grouped` and
    `padded`: each row is a pack of its own, and rows that go through the model together are padded
    to the longest of them; rows of like length with `grouped`, rows in random order with `padded`,
    as Alpaca was trained."""
    micro_packs: int = 1
    """Most packs that one rank puts through the model at once: memory against speed."""

    def problems(self, max_length: int, ranks: int) -> list[Problem]:
        """What is wrong with it.

        Args:
            max_length: tokens of a pack.
            ranks: ranks among which the rows of a step are divided.
        """
        found = [
            Problem(f"batch.{key}", value, "must be at least 1", "raise it")
            for key in ("rows", "tokens", "micro_packs")
            if (value := getattr(self, key)) is not None and value < 1
        ]
        if found:
            return found
        if (self.rows is None) == (self.tokens is None):
            what = "exactly one of the two sets the size of a step"
            remedy = "set one and make the other null"
            return [
                Problem("batch.rows, batch.tokens", f"{self.rows}, {self.tokens}", what, remedy)
            ]
        packed = self.layout is Layout.packed
        if packed and self.tokens is not None and self.tokens < ranks * max_length:
            what = (
                f"cannot be divided: {ranks} ranks with one pack of {max_length} tokens each make "
                f"{ranks * max_length}"
            )
            remedy = "raise batch.tokens, or lower data.max_length or cluster.ranks_per_node"
            return [Problem("batch.tokens", self.tokens, what, remedy)]
        if self.rows is not None and self.rows < ranks:
            what = f"cannot be divided: each of {ranks} ranks needs a row of its own"
            return [Problem("batch.rows", self.rows, what, "raise it, or use fewer ranks")]
        return []
