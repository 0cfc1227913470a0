"""Tokens of a row, and the reason why each has a loss or none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

IGNORE = -100
"""Label of an unsupervised token (torch's default ignore_index)."""


class Reason(IntEnum):
    """Reason why a token has a loss or none. The values are stored in token caches."""

    prompt = 0
    """Not written by the assistant: no loss."""
    trained = 1
    """The only one with a loss."""
    first = 2
    """First token of a row: in a pack it would be predicted from the row before."""
    turn = 3
    """Assistant turn whose `weight`, `train` or `training` is 0."""
    earlier = 4
    """Answer before the last under `data.train_on=last`, or trained in another example."""
    thought = 5
    """Thought under `data.train_on_reasoning=false`."""
    empty_thought = 6
    """Thought that the template wrote though the row has none."""
    given = 7
    """Token whose label is -100 in a pre-tokenized row."""


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """Tokens of a row with their labels."""

    ids: NDArray[np.int32]
    """[T] token ids."""
    labels: NDArray[np.int32]
    """[T]: the id of a supervised token, else IGNORE. The first is always IGNORE."""

    @property
    def num_supervised(self) -> int:
        """Number of supervised tokens."""
        return int(np.count_nonzero(np.asarray(self.labels) != IGNORE))


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Tokens of a row with the reason of each."""

    ids: NDArray[np.int32]
    """[T] token ids."""
    reasons: NDArray[np.uint8]
    """[T]: a `Reason` per token."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """[T]: the id of a supervised token, else IGNORE."""
        return labels(self.ids, self.reasons)

    @property
    def num_supervised(self) -> int:
        """Number of supervised tokens."""
        return int(np.count_nonzero(self.reasons == Reason.trained))


def labels(ids: NDArray[np.int32], reasons: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return [T] labels: the id where the reason is `trained`, else IGNORE."""
    return np.where(reasons == Reason.trained, ids, np.int32(IGNORE))
