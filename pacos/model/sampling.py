"""Sampling tokens from logits, with one random number per row, whatever shares its batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

NUCLEUS = 1024
"""Most likely tokens to sort for top-p sampling; if they do not reach top_p, the whole vocabulary
(128,256 tokens in Llama 3) is sorted, which is far slower."""


def draw(
    logits: torch.Tensor,
    temperature: float,
    top_p: float,
    uniforms: Sequence[float],
    top_k: int = 0,
) -> torch.Tensor:
    """Draw a token for each row.

    Args:
        logits: [rows, vocabulary].
        temperature: divides the logits.
        top_p: cumulative probability of the most likely tokens that are drawn from.
        uniforms: a random number in [0, 1) for each row.
        top_k: number of most likely tokens that are drawn from, applied before `top_p`; 0 is all.

    Returns:
        [rows] token ids.
    """
    # In fp32: the 8 significant bits of bf16 are too few for a running sum over a vocabulary.
    scores = logits.float() / temperature
    if 0 < top_k < scores.shape[-1]:
        # Tokens that tie with the last one stay, as in transformers.
        least = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    weights = scores.softmax(-1)
    order = None
    if top_p < 1:
        sorted_weights, order = weights.topk(min(NUCLEUS, weights.shape[-1]))
        if bool((sorted_weights.sum(-1) < top_p).any()):
            sorted_weights, order = weights.sort(descending=True)
        before = sorted_weights.cumsum(-1) - sorted_weights
        # Draw in the order of the vocabulary. In the order of weights, two nearly equal tokens swap
        # places when rounding changes with the batch size, and another token would be drawn.
        order, places = order.sort(-1)
        # A token stays if those before it do not reach top_p, so the most likely one always does.
        weights = sorted_weights.masked_fill(before >= top_p, 0.0).gather(-1, places)
    reached = weights.cumsum(-1)
    targets = reached.new_tensor(uniforms)[:, None] * reached[:, -1:]
    # A number close to 1 rounds to 1 in fp32: never go beyond the last token that has any weight.
    last = (reached < reached[:, -1:]).sum(-1, keepdim=True)
    index = torch.searchsorted(reached, targets, right=True).minimum(last)
    return (index if order is None else order.gather(-1, index))[:, 0]
