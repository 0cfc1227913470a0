"""Completing prompts with a local model, side by side.

Not `model.generate`: here every request has random numbers of its own, so that its reply does not
depend on the batch it is in, and a finished row leaves the batch instead of being padded to the end
of the longest, which halves the time on a CPU.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from selfinstruct.ledger import Reply, Request
from selfinstruct.prompts import Layout

NUCLEUS = 1024
"""Tokens that are sorted to find the nucleus; the whole vocabulary is where these do not do."""


class Completion:
    """A reply while it is written."""

    def __init__(self, request: Request, layout: Layout, tokenizer: Any, stops: set[int]) -> None:
        self._request = request
        self._layout = layout
        self._tokenizer = tokenizer
        self._stops = stops
        self._mark = layout.end.strip()[-1]
        self._random = random.Random(request.seed)
        self._tokens: list[int] = []
        self._finished = False

    def next_uniform(self) -> float:
        """The random number in [0, 1) that chooses the next token."""
        return self._random.random()

    def take(self, token: int) -> bool:
        """Add a token; returns whether the reply is at its end."""
        if token in self._stops:
            self._finished = True
            return True
        self._tokens.append(token)
        # Only the last character of the end mark can complete it.
        if self._mark in self._tokenizer.decode([token]):
            tasks = self._layout.complete_tasks(self._tokenizer.decode(self._tokens))
            self._finished = tasks >= self._request.tasks
        return self._finished or len(self._tokens) >= self._request.max_tokens

    def reply(self) -> Reply:
        """What was written."""
        text = self._tokenizer.decode(self._tokens)
        return Reply(text=text, cut=not self._finished, tokens=len(self._tokens))


@torch.inference_mode()
def complete(
    model: Any, tokenizer: Any, layout: Layout, requests: Sequence[Request]
) -> list[Reply]:
    """Write a reply to each request; all have the same sampling."""
    temperature, top_p = requests[0].temperature, requests[0].top_p
    stops = _stop_ids(model, tokenizer, layout)
    completions = [Completion(request, layout, tokenizer, stops) for request in requests]
    encoded = tokenizer(
        [request.prompt for request in requests],
        padding=True,
        # A chat format writes its own first token.
        add_special_tokens=bool(layout.head),
        return_tensors="pt",
    ).to(model.device)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    live = completions
    while True:
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = draw(logits, temperature, top_p, [row.next_uniform() for row in live])
        chosen = tokens.tolist()
        stay = [at for at, row in enumerate(live) if not row.take(chosen[at])]
        if not stay:
            return [row.reply() for row in completions]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        if len(stay) < len(live):
            kept = torch.tensor(stay, device=model.device)
            cache.batch_select_indices(kept)
            ids, mask, positions = ids[kept], mask[kept], positions[kept]
            live = [live[at] for at in stay]


def draw(
    logits: torch.Tensor, temperature: float, top_p: float, uniforms: Sequence[float]
) -> torch.Tensor:
    """Choose a token for each row.

    Args:
        logits: [rows, vocabulary].
        temperature: divides the logits.
        top_p: only the likeliest tokens that together reach it are drawn from.
        uniforms: one random number in [0, 1) for each row.
    """
    weights = (logits.float() / temperature).softmax(-1)
    order = None
    if top_p < 1:
        sorted_weights, order = weights.topk(min(NUCLEUS, weights.shape[-1]))
        if bool((sorted_weights.sum(-1) < top_p).any()):
            sorted_weights, order = weights.sort(descending=True)
        before = sorted_weights.cumsum(-1) - sorted_weights
        weights = sorted_weights.masked_fill(before >= top_p, 0.0)
    reached = weights.cumsum(-1)
    wanted = reached.new_tensor(uniforms)[:, None] * reached[:, -1:]
    index = torch.searchsorted(reached, wanted, right=True).clamp(max=weights.shape[-1] - 1)
    return (index if order is None else order.gather(-1, index))[:, 0]


def _stop_ids(model: Any, tokenizer: Any, layout: Layout) -> set[int]:
    """End-of-text tokens, less the one that the layout itself ends turns with."""
    named = model.generation_config.eos_token_id
    ids = {named} if isinstance(named, int) else set(named or ())
    return {number for number in ids if tokenizer.decode([number]) not in layout.end}
