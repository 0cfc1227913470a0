"""What goes through the model at once: one flat row of whole documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pacos.prompts import IGNORE, TokenizedRow


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
    def of(cls, documents: Sequence[TokenizedRow], device: torch.device) -> Batch:
        """Lay documents end to end. The first label of each is IGNORE: nothing predicts it."""
        ids = [token for document in documents for token in document.ids]
        labels = [label for document in documents for label in document.labels]
        positions = [at for document in documents for at in range(len(document.ids))]
        scored = [at - 1 for at, label in enumerate(labels) if label != IGNORE]
        ends = [0]
        for document in documents:
            ends.append(ends[-1] + len(document.ids))
        return cls(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            scored=torch.tensor(scored, dtype=torch.int64, device=device),
            targets=torch.tensor(
                [labels[at + 1] for at in scored], dtype=torch.int64, device=device
            ),
            cu_seq_lens=torch.tensor(ends, dtype=torch.int32, device=device),
            longest=max(len(document.ids) for document in documents),
        )

    @classmethod
    def empty(cls, device: torch.device) -> Batch:
        """One token without loss, for a rank that has fewer packs than others.

        Every rank must run as many passes: their collectives wait for each other.
        """
        return cls.of([TokenizedRow(ids=[0], labels=[IGNORE])], device)
