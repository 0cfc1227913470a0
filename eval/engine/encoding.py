"""lm_eval's tokenisation, in large batches and each text once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.engine.plan import TokenizedRequest
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer

BATCH_TEXTS = 4096
"""Texts tokenised in one call: the fast tokenizer spreads them over all cores."""

TextPair = tuple[str, str]
"""A context and its continuation."""


class RequestEncoder:
    """Tokenises as lm_eval's HFLM does, token for token."""

    def __init__(self, tokenizer: Tokenizer, prefix_id: int) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: the model's tokenizer.
            prefix_id: token that precedes a continuation without context.
        """
        self._tokenizer = tokenizer
        self._prefix_id = prefix_id
        self._prefix = tokenizer.decode(prefix_id)

    def pairs(self, pairs: Sequence[TextPair]) -> list[TokenizedRequest]:
        """Tokenise contexts and continuations.

        Raises:
            UserError: a continuation has no token.
        """
        encoded: list[TokenizedRequest] = []
        contexts: dict[str, list[int]] = {}
        for start in range(0, len(pairs), BATCH_TEXTS):
            batch = pairs[start : start + BATCH_TEXTS]
            moved = [move_spaces(pair) for pair in batch]
            missing = {context for context, _ in moved if context} - contexts.keys()
            contexts |= zip(missing, self.texts(missing), strict=True)
            # As in lm_eval: the continuation's tokens are those of the joined text after the
            # context's, because tokenising it alone may give other tokens.
            joined = self.texts([context + rest for context, rest in moved if context])
            alone = self.texts([rest for context, rest in moved if not context], special=False)
            with_context, without_context = iter(joined), iter(alone)
            for pair, (context, _) in zip(batch, moved, strict=True):
                if context:
                    before = contexts[context]
                    encoded.append((pair, before, next(with_context)[len(before) :]))
                else:
                    encoded.append((pair, *self._after_prefix(next(without_context), pair)))
        return encoded

    def _after_prefix(self, tokens: list[int], pair: TextPair) -> tuple[list[int], list[int]]:
        if not tokens:
            raise UserError(f"{pair}: the continuation has no tokens; change the task's choices")
        # The text may bring the prefix token itself.
        if tokens[0] == self._prefix_id:
            return tokens[:1], tokens[1:]
        return [self._prefix_id], tokens

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise prompts to answer."""
        return self._encode(texts, self._tokenizer.bos_token)

    def texts(self, texts: Iterable[str], special: bool | None = None) -> list[list[int]]:
        """Tokenise complete texts.

        Args:
            texts: the texts.
            special: True to add the tokenizer's special tokens, False not to; None adds them to
                texts that do not begin with the prefix token already.
        """
        batch = list(texts)
        if special is None:
            return self._encode(batch, self._prefix)
        return self._tokenizer(batch, add_special_tokens=special)["input_ids"] if batch else []

    def _encode(self, texts: Sequence[str], prefix: str | None) -> list[list[int]]:
        has_prefix = [bool(prefix) and text.startswith(str(prefix)) for text in texts]
        encoded = {}
        for with_prefix in set(has_prefix):
            chosen = [
                text for text, has in zip(texts, has_prefix, strict=True) if has == with_prefix
            ]
            options = {"add_special_tokens": False} if with_prefix else {}
            encoded[with_prefix] = iter(self._tokenizer(chosen, **options)["input_ids"])
        return [next(encoded[with_prefix]) for with_prefix in has_prefix]


def move_spaces(pair: TextPair) -> TextPair:
    """Move spaces at the end of a context to its continuation, as lm_eval does.

    Most tokenizers attach a space to the word after it, so a context that ends in one would be
    tokenised unlike any text of the training data.
    """
    context, continuation = pair
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation
