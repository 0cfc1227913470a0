"""Text as tokens, each with the reason why it has a loss or none."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from pacos.data.example import RowError
from pacos.prompts.tokens import EncodedRow, Reason

Offsets = list[tuple[int, int]]
"""Begin and end of each token in its text, in characters. A list as the backend makes it: turning
it into an array would take longer than searching it."""
_BEGIN, _END = itemgetter(0), itemgetter(1)

RARE = "\U0010fffd"
"""A character for private use, which no vocabulary has."""

LONGEST_TAIL = 40
"""Characters of a prompt's end up to which its tokens are kept: longer ones hold a row's text."""


@dataclass(frozen=True, slots=True)
class Region:
    """Characters of a text with the reason of their tokens."""

    begin: int
    end: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text to tokenize. Outside of the regions the reason is `prompt`."""

    text: str
    regions: Sequence[Region]
    is_raw: bool = False
    """The tokenizer adds its own special tokens and eos; else the text has all of them."""


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer's Rust backend; pickled, it is small."""

    backend: Any
    """A `tokenizers.Tokenizer` that neither pads nor truncates nor trims offsets."""
    before: Sequence[int]
    """Special tokens that the tokenizer writes before a text."""
    after: Sequence[int]
    """Special tokens that end a raw text, eos included."""
    unknown: int | None = None
    """Token that stands for characters that the vocabulary lacks; None if it lacks none."""

    @classmethod
    def of(cls, backend: Any, eos_id: int | None) -> TextTokenizer:
        """Copy a backend: the caller's keeps its padding, truncation and post-processor."""
        import tokenizers

        own = tokenizers.Tokenizer.from_str(backend.to_str())
        own.no_padding()
        own.no_truncation()
        with_special, bare = (
            own.encode("a", add_special_tokens=flag).ids for flag in (True, False)
        )
        start = next(
            (n for n in range(len(with_special)) if with_special[n : n + len(bare)] == bare), 0
        )
        after = with_special[start + len(bare) :]
        if eos_id is not None and eos_id not in after:
            after = [*after, eos_id]
        # Llama 3's would cut blanks off the offsets. Templates write special tokens themselves.
        own.post_processor = None
        return cls(own, tuple(with_special[:start]), tuple(after), _unknown(own))

    def encode(self, texts: Sequence[MarkedText]) -> list[EncodedRow | RowError]:
        """Tokenize texts; one that cannot be becomes an error in its place."""
        try:
            encodings = self.backend.encode_batch(
                [marked.text for marked in texts], add_special_tokens=False
            )
        except TypeError:
            # Half of a surrogate pair, perhaps in the arguments of a call. It does not say where.
            if len(texts) == 1:
                half = "its text holds half of a character, as if cut inside an emoji; remove it"
                return [RowError(half)]
            return [row for marked in texts for row in self.encode([marked])]
        return [
            self._row(marked, encoding) for marked, encoding in zip(texts, encodings, strict=True)
        ]

    def _row(self, marked: MarkedText, encoding: Any) -> EncodedRow:
        ids, offsets = encoding.ids, encoding.offsets
        cuts = [
            region.begin
            for region in marked.regions
            if region.reason is Reason.trained
            and not self._ends_at(region.begin, marked.text, ids, offsets)
        ]
        if cuts:
            ids, offsets = self._piecewise(marked.text, cuts)
        reasons = np.zeros(len(ids), dtype=np.uint8)
        for region in marked.regions:
            first = bisect_right(offsets, region.begin, key=_END)
            last = bisect_left(offsets, region.end, key=_BEGIN)
            reasons[first:last] = region.reason
        if marked.is_raw:
            ids = [*self.before, *ids, *self.after]
            reasons = np.concatenate(
                [
                    np.full(len(self.before), Reason.prompt, np.uint8),
                    reasons,
                    np.full(len(self.after), Reason.trained, np.uint8),
                ]
            )
        if len(reasons) and reasons[0] == Reason.trained:
            # In a pack, the first token would be predicted from the row before.
            reasons[0] = Reason.first
        return EncodedRow(np.array(ids, dtype=np.int32), reasons)

    def _ends_at(self, begin: int, text: str, ids: Sequence[int], offsets: Offsets) -> bool:
        """Return True if the tokens before an answer are those of its prompt alone."""
        first = bisect_right(offsets, begin, key=_END)
        if first < len(ids) and offsets[first][0] < begin:
            return False
        # GPT-2's pattern looks ahead: "\n\n" is one token at the end of a text, but two before a
        # letter. It does so for several blanks alone.
        if not text[max(0, begin - 2) : begin].isspace():
            return True
        start = next((n for n in range(first, 0, -1) if ids[n - 1] in self._added), 0)
        tail = text[offsets[start - 1][1] if start else 0 : begin]
        return self._alone(tail) == [*ids[start:first]]

    def _alone(self, tail: str) -> list[int]:
        """Return the ids of a text that begins after an added token."""
        known = self._tails.get(tail)
        if known is None:
            known = self._bare(tail)[0]
            # Most templates end each prompt with the same few characters.
            if len(tail) < LONGEST_TAIL:
                self._tails[tail] = known
        return known

    @cached_property
    def _tails(self) -> dict[str, list[int]]:
        return {}

    def _piecewise(self, text: str, cuts: Sequence[int]) -> tuple[list[int], Offsets]:
        """Tokenize the parts of a text apart.

        Generation never sees a token across the beginning of an answer, nor what the answer makes
        of the blanks before it: the prompt ends there.
        """
        ids: list[int] = []
        offsets: Offsets = []
        for begin, end in itertools.pairwise((0, *cuts, len(text))):
            piece_ids, piece = self._continued(text[begin:end]) if begin else self._bare(text[:end])
            ids += piece_ids
            offsets += _moved(piece, begin)
        return ids, offsets

    def _bare(self, text: str) -> tuple[list[int], Offsets]:
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def _continued(self, text: str) -> tuple[list[int], Offsets]:
        """Tokenize a text that continues another."""
        if self._continuing is None:
            return self._bare(text)
        encoding = self._continuing.encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        number = next((n for n, token in enumerate(ids) if token in self._added), None)
        if number is None:
            return ids, offsets
        # After an added token, such as the next <s>, the tokenizer begins anew.
        begin = offsets[number][0]
        rest_ids, rest = self._bare(text[begin:])
        return ids[:number] + rest_ids, offsets[:number] + _moved(rest, begin)

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.backend.get_added_tokens_decoder())

    @cached_property
    def _continuing(self) -> Any:
        """The backend without SentencePiece's blank before a text; None if it writes none."""
        import tokenizers

        plain = json.loads(self.backend.to_str())
        normalizer = _without_prefix(plain["normalizer"])
        pre_tokenizer = _without_prefix(plain["pre_tokenizer"])
        if normalizer == plain["normalizer"] and pre_tokenizer == plain["pre_tokenizer"]:
            return None
        changed = {**plain, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
        return tokenizers.Tokenizer.from_str(json.dumps(changed))


def _unknown(backend: Any) -> int | None:
    token = getattr(backend.model, "unk_token", None)
    number: int | None = None if token is None else backend.token_to_id(token)
    # Many name one, and never write it: they fall back to bytes.
    return number if number in backend.encode(RARE, add_special_tokens=False).ids else None


def _without_prefix(step: Any) -> Any:
    """Return a step of a tokenizer, as in tokenizer.json, without the blank before a text."""
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Sequence":
        (key,) = step.keys() - {"type"}
        parts = [part for part in map(_without_prefix, step[key]) if part is not None]
        return {**step, key: parts}
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    return step


def _moved(offsets: Offsets, by: int) -> Offsets:
    return [(begin + by, end + by) for begin, end in offsets]
