"""The input of one pass: a single flat row of whole documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pacos.prompts.tokens import IGNORE, TokenizedRow


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents in one flat row; attention keeps them apart by `cu_seq_lens`.

    One row of T tokens, never several: transformers' FlashAttention path detects packing only in a
    batch of one, and mixes documents silently otherwise (5.23, modeling_flash_attention_utils).
    """

    input_ids: torch.Tensor
    """[1, T] int64."""
    position_ids: torch.Tensor
    """[1, T] int64, 0 at the first token of each document."""
    scored: torch.Tensor
    """[S] int64: positions whose next token is supervised."""
    targets: torch.Tensor
    """[S] int64: those next tokens."""
    cu_seq_lens: torch.Tensor
    """[documents + 1] int32: the position at which each document begins, then T."""
    longest: int
    """Tokens of the longest document."""

    @classmethod
    def of(
        cls, documents: Sequence[TokenizedRow], device: torch.device, *, padded: bool = False
    ) -> Batch:
        """Lay documents end to end. The first label of each is IGNORE: nothing predicts it.

        Args:
            documents: at least one.
            device: device of the tensors.
            padded: lengthen each document to the longest, as a batch of several rows would. The
                padding comes last in its document and is not supervised, so it costs work and
                changes no result.
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
        # The label at a position is the token itself, which the position before predicts. The
        # first label of a document is IGNORE, so no document is scored on another's last token.
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
        """Return one unsupervised token, for a rank that has fewer packs than others.

        Every rank must run the same number of passes, because their collectives wait for each
        other.
        """
        token = TokenizedRow(np.zeros(1, np.int32), np.full(1, IGNORE, np.int32))
        return cls.of([token], device)
