"""Batched decoding with a local model.

Not `model.generate`: here every request has its own random numbers, so that its reply does not
depend on the batch it is in. A finished row leaves the batch instead of being padded to the end of
the longest, which halves the time on a CPU.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from threading import Event
from typing import Any

import torch
from transformers import DynamicCache

from pacos.errors import UserError
from pacos.llm.request import Reply, Request, Sampling
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.model.sampling import draw


class PartialReply:
    """A reply while it is written."""

    def __init__(self, request: Request, prompt_tokens: int, tokenizer: Tokenizer) -> None:
        self._sampling = request.sampling
        self._prompt_tokens = prompt_tokens
        self._tokenizer = tokenizer
        # Python seeds by the SHA-512 of a text: the same numbers in every process, unlike with
        # hash().
        self._random = random.Random(f"{request.sampling.seed}/{request.sample}")
        self._tokens: list[int] = []
        self._text: str | None = None

    def next_uniform(self) -> float:
        """Draw the random number in [0, 1) that selects the next token."""
        return self._random.random()

    def add(self, token: int, end_tokens: set[int]) -> bool:
        """Add a token; return True if the reply is finished."""
        if token in end_tokens:
            self._text = self._tokenizer.decode(self._tokens)
            return True
        self._tokens.append(token)
        # Only a token with the last character of a stop string can complete it. Decoding the whole
        # text for every token would take quadratic time.
        piece = self._tokenizer.decode([token])
        if any(stop[-1] in piece for stop in self._sampling.stop):
            text = self._tokenizer.decode(self._tokens)
            starts = [at for stop in self._sampling.stop if (at := text.find(stop)) >= 0]
            if starts:
                self._text = text[: min(starts)]
                return True
        return len(self._tokens) >= self._sampling.max_tokens

    def reply(self) -> Reply:
        """Return what was written; `finish` is `length` if nothing but the limit ended it."""
        is_finished = self._text is not None
        return Reply(
            text=str(self._text) if is_finished else self._tokenizer.decode(self._tokens),
            finish="stop" if is_finished else "length",
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self._tokens),
        )


@torch.inference_mode()
def decode(
    model: CausalLM,
    tokenizer: Tokenizer,
    requests: Sequence[Request],
    texts: Sequence[str],
    stopping: Event,
) -> list[Reply]:
    """Write the replies of a batch.

    Args:
        model: the language model.
        tokenizer: its tokenizer, which pads on the left.
        requests: the source of the sampling; penalties are ignored.
        texts: their prompts as the model reads them.
        stopping: aborts the decoding when set.

    Raises:
        UserError: `stopping` was set.
    """
    encoded = _encode(tokenizer, texts, model.device)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    lengths = mask.sum(-1).tolist()
    replies = [
        PartialReply(request, length, tokenizer)
        for request, length in zip(requests, lengths, strict=True)
    ]
    end_tokens = [_end_tokens(model, tokenizer, request) for request in requests]
    # Padding is on the left: the position counts the real tokens only.
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    live = list(range(len(replies)))
    while not stopping.is_set():
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = _next_tokens(
            logits, [requests[row].sampling for row in live], [replies[row] for row in live]
        )
        chosen = tokens.tolist()
        unfinished = [
            at for at, row in enumerate(live) if not replies[row].add(chosen[at], end_tokens[row])
        ]
        if not unfinished:
            return [reply.reply() for reply in replies]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        if len(unfinished) < len(live):
            kept = torch.tensor(unfinished, device=model.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            live = [live[at] for at in unfinished]
    raise UserError("the local model was stopped before it could answer")


def _encode(tokenizer: Tokenizer, texts: Sequence[str], device: torch.device) -> Any:
    # A rendered chat template starts with its own special token; another would be a second <bos>.
    has_special = any(texts[0].startswith(token) for token in tokenizer.all_special_tokens)
    return tokenizer(
        list(texts), padding=True, add_special_tokens=not has_special, return_tensors="pt"
    ).to(device)


def _next_tokens(
    logits: torch.Tensor, samplings: Sequence[Sampling], replies: Sequence[PartialReply]
) -> torch.Tensor:
    """Choose the next token of each row; rows with equal sampling are drawn in one call."""
    tokens = logits.argmax(-1)
    groups: defaultdict[tuple[float, float], list[int]] = defaultdict(list)
    for row, sampling in enumerate(samplings):
        if sampling.temperature > 0:
            groups[sampling.temperature, sampling.top_p].append(row)
    for (temperature, top_p), rows in groups.items():
        uniforms = [replies[row].next_uniform() for row in rows]
        tokens[rows] = draw(logits[rows], temperature, top_p, uniforms)
    return tokens


def _end_tokens(model: CausalLM, tokenizer: Tokenizer, request: Request) -> set[int]:
    """Return the end tokens, less those in a text to be continued: there they only end turns."""
    named = model.generation_config.eos_token_id
    ids = {named} if isinstance(named, int) else set(named or ())
    if not isinstance(request.prompt, str):
        return ids
    return {token for token in ids if tokenizer.decode([token]) not in request.prompt}
