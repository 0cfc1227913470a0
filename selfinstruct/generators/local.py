"""Completing prompts with a local model, side by side.

Not `model.generate`: here every request has random numbers of its own, so that its reply does not
depend on the batch it is in, and a finished row leaves the batch instead of being padded to the end
of the longest, which halves the time on a CPU.
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
from pacos.model.sampling import draw


class Completion:
    """A reply while it is written."""

    def __init__(self, request: Request, prompt_tokens: int, tokenizer: Any) -> None:
        self._sampling = request.sampling
        self._prompt_tokens = prompt_tokens
        self._tokenizer = tokenizer
        self._random = random.Random(f"{request.sampling.seed}/{request.sample}")
        self._tokens: list[int] = []
        self._text: str | None = None

    def next_uniform(self) -> float:
        """The random number in [0, 1) that chooses the next token."""
        return self._random.random()

    def take(self, token: int, ends: set[int]) -> bool:
        """Add a token; returns whether the reply is at its end."""
        if token in ends:
            self._text = self._tokenizer.decode(self._tokens)
            return True
        self._tokens.append(token)
        # Only a token with the last character of a stop text can complete it.
        piece = self._tokenizer.decode([token])
        if any(stop[-1] in piece for stop in self._sampling.stop):
            text = self._tokenizer.decode(self._tokens)
            found = [at for stop in self._sampling.stop if (at := text.find(stop)) >= 0]
            if found:
                self._text = text[: min(found)]
                return True
        return len(self._tokens) >= self._sampling.max_tokens

    def reply(self) -> Reply:
        """What was written."""
        whole = self._text is not None
        return Reply(
            text=str(self._text) if whole else self._tokenizer.decode(self._tokens),
            finish="stop" if whole else "length",
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self._tokens),
        )


@torch.inference_mode()
def complete(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    texts: Sequence[str],
    stopping: Event,
) -> list[Reply]:
    """Write a reply to each request.

    Args:
        model: a causal language model.
        tokenizer: pads on the left.
        requests: for their sampling; penalties are not known here.
        texts: their prompts as the model reads them.
        stopping: breaks off when it is set.

    Raises:
        UserError: it was set.
    """
    encoded = _encode(tokenizer, texts, model.device)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    lengths = mask.sum(-1).tolist()
    completions = [
        Completion(request, length, tokenizer)
        for request, length in zip(requests, lengths, strict=True)
    ]
    ends = [_end_ids(model, tokenizer, request) for request in requests]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    live = list(range(len(completions)))
    while not stopping.is_set():
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = _next(
            logits, [requests[row].sampling for row in live], [completions[row] for row in live]
        )
        chosen = tokens.tolist()
        stay = [
            at for at, row in enumerate(live) if not completions[row].take(chosen[at], ends[row])
        ]
        if not stay:
            return [completion.reply() for completion in completions]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        if len(stay) < len(live):
            kept = torch.tensor(stay, device=model.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            live = [live[at] for at in stay]
    raise UserError("the local model was stopped before it could answer")


def _encode(tokenizer: Any, texts: Sequence[str], device: Any) -> Any:
    # A text that begins with a special token of its own needs no other.
    own = any(texts[0].startswith(token) for token in tokenizer.all_special_tokens)
    return tokenizer(list(texts), padding=True, add_special_tokens=not own, return_tensors="pt").to(
        device
    )


def _next(
    logits: torch.Tensor, samplings: Sequence[Sampling], live: Sequence[Completion]
) -> torch.Tensor:
    """The next token of each row; rows of one sampling are drawn together."""
    tokens = logits.argmax(-1)
    groups: defaultdict[tuple[float, float], list[int]] = defaultdict(list)
    for row, sampling in enumerate(samplings):
        if sampling.temperature > 0:
            groups[sampling.temperature, sampling.top_p].append(row)
    for (temperature, top_p), rows in groups.items():
        uniforms = [live[row].next_uniform() for row in rows]
        tokens[rows] = draw(logits[rows], temperature, top_p, uniforms)
    return tokens


def _end_ids(model: Any, tokenizer: Any, request: Request) -> set[int]:
    """End-of-text tokens, less those that a text to be continued holds: there they end turns."""
    named = model.generation_config.eos_token_id
    ids = {named} if isinstance(named, int) else set(named or ())
    if not isinstance(request.prompt, str):
        return ids
    return {number for number in ids if tokenizer.decode([number]) not in request.prompt}
