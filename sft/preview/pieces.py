"""The tokens of a row as readable pieces, each with the reason for its loss or the lack of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from pacos.prompts.tokens import EncodedRow, Reason
from sft.preview.signs import Part, TokenText
from sft.steps.batch import Batch

MOST_TOKENS_PER_CHARACTER = 4
"""Tokens that may share a character: byte-level tokenizers split UTF-8, which has up to 4 bytes."""

LEGEND: dict[Reason, str] = {
    Reason.trained: "trained: has a loss",
    Reason.prompt: "prompt: system, user and tool turns and the template's own text, no loss",
    Reason.first: "first token: nothing predicts it, no loss",
    Reason.turn: "weight 0: the row says that this turn has no loss",
    Reason.earlier: "earlier answer: history here, no loss (data.train_on=last, or trained in "
    "another example of the row)",
    Reason.thought: "thought: context only, no loss (data.train_on_reasoning=false)",
    Reason.empty_thought: "empty thought: written by the template, no loss",
    Reason.given: "given: label -100 in the row, no loss",
}
"""Meaning of each reason for a person. Its first words are the name of the reason."""

NAMES = {reason: text.partition(":")[0] for reason, text in LEGEND.items()}


@dataclass(frozen=True, slots=True)
class Piece:
    """One token; or several, where a character is split among them."""

    ids: tuple[int, ...]
    parts: tuple[Part, ...]
    reason: Reason

    @property
    def text(self) -> str:
        """The readable text."""
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pieces with the same reason."""

    reason: Reason
    head: Sequence[Piece]
    hidden: int
    """Tokens between head and tail that are not shown."""
    tail: Sequence[Piece]


def pieces(row: EncodedRow, batch: Batch, begin: int, texts: TokenText) -> list[Piece]:
    """Return the tokens of a row as they lie in a batch.

    Args:
        row: tokens and reasons, as the token cache has them.
        batch: the batch that the engine gets.
        begin: position of the row's first token in the batch.
        texts: the tokens as text.

    Raises:
        AssertionError: the batch scores other tokens than the reasons say.
    """
    end = begin + len(row.ids)
    ids = batch.input_ids[0, begin:end].numpy()
    # `scored` holds positions whose next token has a loss.
    scored = np.zeros(batch.input_ids.shape[1] + 1, bool)
    scored[batch.scored.numpy() + 1] = True
    assert np.array_equal(ids, row.ids), "the batch holds other tokens than the cache"
    trained = row.reasons == Reason.trained
    assert np.array_equal(scored[begin:end], trained), "the batch scores other tokens"
    return list(_split(ids.tolist(), [Reason(code) for code in row.reasons.tolist()], texts))


def _split(ids: Sequence[int], reasons: Sequence[Reason], texts: TokenText) -> Iterator[Piece]:
    first = 0
    while first < len(ids):
        last = first + 1
        while not (parts := texts.parts(tuple(ids[first:last]))):
            # A piece has one reason: the loss may begin in the middle of a character.
            is_full = last - first == MOST_TOKENS_PER_CHARACTER
            if is_full or last == len(ids) or reasons[last] is not reasons[first]:
                last = first + 1
                parts = texts.name(ids[first])
                break
            last += 1
        yield Piece(tuple(ids[first:last]), parts, reasons[first])
        first = last


def runs(items: Sequence[Piece], most: int | None = None) -> Iterator[Run]:
    """Yield the runs of pieces that share a reason.

    Args:
        items: pieces of a row.
        most: pieces of a run to show; the middle of longer ones is hidden. None shows all.
    """
    for reason, group in groupby(items, key=lambda piece: piece.reason):
        run = list(group)
        if most is None or len(run) <= most:
            yield Run(reason, run, 0, ())
        else:
            head, middle = run[: most - most // 2], run[most - most // 2 : len(run) - most // 2]
            tail = run[len(run) - most // 2 :]
            yield Run(reason, head, sum(len(piece.ids) for piece in middle), tail)
