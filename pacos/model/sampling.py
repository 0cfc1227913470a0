"""Drawing tokens from logits, with a random number of its own for each row."""

from __future__ import annotations

from collections.abc import Sequence

import torch

NUCLEUS = 1024
"""Tokens that are sorted to find the nucleus; the whole vocabulary is where these do not do."""


def draw(
    logits: torch.Tensor,
    temperature: float,
    top_p: float,
    uniforms: Sequence[float],
    top_k: int = 0,
) -> torch.Tensor:
    """Choose a token for each row.

    Args:
        logits: [rows, vocabulary].
        temperature: divides the logits.
        top_p: only the likeliest tokens that together reach it are drawn from.
        uniforms: one random number in [0, 1) for each row.
        top_k: only so many of the likeliest tokens are drawn from, before `top_p`; 0 is all.

    Returns:
        [rows].
    """
    scores = logits.float() / temperature
    if 0 < top_k < scores.shape[-1]:
        least = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    weights = scores.softmax(-1)
    order = None
    if top_p < 1:
        sorted_weights, order = weights.topk(min(NUCLEUS, weights.shape[-1]))
        if bool((sorted_weights.sum(-1) < top_p).any()):
            sorted_weights, order = weights.sort(descending=True)
        before = sorted_weights.cumsum(-1) - sorted_weights
        # Drawn from in the vocabulary's order: in that of weights, two that differ by rounding
        # change places with the size of the batch, and so would the token that is drawn.
        order, places = order.sort(-1)
        weights = sorted_weights.masked_fill(before >= top_p, 0.0).gather(-1, places)
    reached = weights.cumsum(-1)
    wanted = reached.new_tensor(uniforms)[:, None] * reached[:, -1:]
    # A number close to 1 is rounded to 1: never beyond the last token that has any weight.
    last = (reached < reached[:, -1:]).sum(-1, keepdim=True)
    index = torch.searchsorted(reached, wanted, right=True).minimum(last)
    return (index if order is None else order.gather(-1, index))[:, 0]
