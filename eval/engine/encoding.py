"""The harness's tokenisation, many texts at a time and each text once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eval.engine.plan import Request
from pacos.errors import UserError

TOGETHER = 4096
"""Texts that are tokenised at once: the tokenizer shares them out to all cores."""

Pair = tuple[str, str]
"""A context and its continuation."""


class Encoder:
    """Tokenises as the harness's HFLM does, token for token."""

    def __init__(self, tokenizer: Any, prefix_id: int) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: of the model.
            prefix_id: stands before a continuation that has no context.
        """
        self._tokenizer = tokenizer
        self._prefix_id = prefix_id
        self._prefix = tokenizer.decode(prefix_id)

    def pairs(self, pairs: Sequence[Pair]) -> list[Request]:
        """Tokens of contexts and of continuations.

        Raises:
            UserError: a continuation has no token.
        """
        found: list[Request] = []
        contexts: dict[str, list[int]] = {}
        for start in range(0, len(pairs), TOGETHER):
            given = pairs[start : start + TOGETHER]
            moved = [_with_spaces_moved(pair) for pair in given]
            missing = {context for context, _ in moved if context} - contexts.keys()
            contexts |= zip(missing, self.texts(missing), strict=True)
            whole = self.texts([context + rest for context, rest in moved if context])
            alone = self.texts([rest for context, rest in moved if not context], special=False)
            of_context, of_nothing = iter(whole), iter(alone)
            for pair, (context, _) in zip(given, moved, strict=True):
                if context:
                    before = contexts[context]
                    found.append((pair, before, next(of_context)[len(before) :]))
                else:
                    found.append((pair, *self._without_context(next(of_nothing), pair)))
        return found

    def _without_context(self, tokens: list[int], pair: Pair) -> tuple[list[int], list[int]]:
        if not tokens:
            raise UserError(f"{pair}: a continuation without tokens; change the task's choices")
        if tokens[0] == self._prefix_id:
            return tokens[:1], tokens[1:]
        return [self._prefix_id], tokens

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of prompts that are to be answered."""
        return self._encode(texts, self._tokenizer.bos_token)

    def texts(self, texts: Iterable[str], special: bool | None = None) -> list[list[int]]:
        """Tokens of texts.

        Args:
            texts: whole texts.
            special: whether the tokenizer adds what it adds to a text; None leaves it out where a
                text begins with it.
        """
        given = list(texts)
        if special is None:
            return self._encode(given, self._prefix)
        return self._tokenizer(given, add_special_tokens=special)["input_ids"] if given else []

    def _encode(self, texts: Sequence[str], prefix: str | None) -> list[list[int]]:
        bare = [bool(prefix) and text.startswith(str(prefix)) for text in texts]
        kinds = {}
        for is_bare in set(bare):
            chosen = [text for text, own in zip(texts, bare, strict=True) if own == is_bare]
            options = {"add_special_tokens": False} if is_bare else {}
            kinds[is_bare] = iter(self._tokenizer(chosen, **options)["input_ids"])
        return [next(kinds[is_bare]) for is_bare in bare]


def _with_spaces_moved(pair: Pair) -> Pair:
    """Blanks at the end of a context belong to the first token of the continuation."""
    context, continuation = pair
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation
