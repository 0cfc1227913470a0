"""What goes through the model at once: one flat row of whole documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pacos.model.prompts import IGNORE, TokenizedRow


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents in one flat row. Attention tells them apart by positions that start again at 0."""

    input_ids: torch.Tensor
    """[1, T] int64."""
    position_ids: torch.Tensor
    """[1, T] int64, 0 at the first token of each document."""
    scored: torch.Tensor
    """[S] int64: positions whose next token carries loss."""
    targets: torch.Tensor
    """[S] int64: those next tokens."""
    cu_seq_lens: torch.Tensor
    """[documents + 1] int32: where documents begin, and T."""
    longest: int
    """Tokens of the longest document."""

    @classmethod
    def of(
        cls, documents: Sequence[TokenizedRow], device: torch.device, *, padded: bool = False
    ) -> Batch:
        """Lay documents end to end. The first label of each is IGNORE: nothing predicts it.

        Args:
            documents: at least one.
            device: where the tensors have to be.
            padded: lengthen each document to the longest, as a batch of several rows would be. The
                filling comes last in its document and carries no loss, so that it changes nothing
                but the work.
        """
        lengths = np.array([len(document.ids) for document in documents])
        longest = int(lengths.max())
        room = np.full(len(documents), longest) if padded else lengths
        ends = np.concatenate([[0], np.cumsum(room)])
        positions = np.arange(ends[-1]) - np.repeat(ends[:-1], room)
        real = positions < np.repeat(lengths, room)
        ids, labels = np.zeros(ends[-1], np.int64), np.full(ends[-1], IGNORE, np.int64)
        ids[real] = np.concatenate([document.ids for document in documents])
        labels[real] = np.concatenate([document.labels for document in documents])
        scored = np.flatnonzero(labels != IGNORE) - 1

        def tensor(values: NDArray[np.int64]) -> torch.Tensor:
            return torch.from_numpy(values).to(device)

        return cls(
            input_ids=tensor(ids[None]),
            position_ids=tensor(positions[None]),
            scored=tensor(scored),
            targets=tensor(labels[scored + 1]),
            cu_seq_lens=tensor(ends).int(),
            longest=longest,
        )

    @classmethod
    def empty(cls, device: torch.device) -> Batch:
        """One token without loss, for a rank that has fewer packs than others.

        Every rank must run as many passes: their collectives wait for each other.
        """
        token = TokenizedRow(np.zeros(1, np.int32), np.full(1, IGNORE, np.int32))
        return cls.of([token], device)
