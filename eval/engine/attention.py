"""Attention for packed passes, in which forks share prefixes.

The rest of the model sees one flat sequence of tokens. Only attention has to know which tokens
belong together, and it asks the pass (`PassAttention`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pacos.model.architectures import has_plain_attention, refuse_unused
from pacos.model.protocols import CausalLM

NAME = "pacos_eval"
"""Name of this attention in transformers' registry."""


class PassAttention(Protocol):
    """A packed pass that knows which of its tokens see which."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Compute attention in one layer.

        Args:
            layer: index of the layer.
            query: [T, heads, width].
            key: [T, key heads, width].
            value: [T, key heads, width].
            scale: factor of the scores.

        Returns:
            [T, heads, width].
        """
        ...


def supports_pass_attention(model: CausalLM) -> bool:
    """Return True if `PassAttention.attend` computes what the model's own attention does."""
    return has_plain_attention(model.config.to_dict())


@contextmanager
def pass_attention(model: CausalLM) -> Iterator[None]:
    """Make a model take `packed=` in its calls; restore its own attention at the end."""
    # transformers has a setter, but no public getter.
    before = model.config._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    packed: PassAttention,
    dropout: float = 0.0,
    position_ids: torch.Tensor | None = None,
    use_cache: bool | None = None,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """Adapt transformers' attention interface, whose tensors are [1, heads, T, width]."""
    # The named arguments change nothing here: dropout is 0 outside of training, positions are
    # already in queries and keys, and no cache is on. Any other option would be lost.
    refuse_unused(options)
    # A pass is a single flat sequence, so the batch size is always 1.
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return packed.attend(module.layer_idx, query, key, value, scaling)[None], None


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attend from each token to itself and those before it.

    Args:
        query: [B, T, heads, width].
        key: [B, T, key heads, width].
        value: [B, T, key heads, width].
        scale: factor of the scores.

    Returns:
        [B, T, heads, width].
    """
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    grouped = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
    ).transpose(1, 2)


def masked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Attend from each token to those that `bias` makes visible.

    Query heads of one key head are laid end to end along T, so that no key is copied: SDPA's
    `enable_gqa` expands the keys wherever its kernel takes no mask with grouped heads.

    Args:
        query: [B, T, heads, width].
        key: [B, key heads, S, width].
        value: [B, key heads, S, width].
        bias: [B, 1, heads per key head * T, S], 0 where a token is visible and -inf elsewhere.
        scale: factor of the scores.

    Returns:
        [B, T, heads, width].
    """
    batch, length, heads, width = query.shape
    group = heads // key.shape[1]
    query = query.view(batch, length, -1, group, width).permute(0, 2, 3, 1, 4)
    out = functional.scaled_dot_product_attention(
        query.reshape(batch, -1, group * length, width), key, value, attn_mask=bias, scale=scale
    )
    out = out.view(batch, -1, group, length, width).permute(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, width)


def attention_bias(visible: torch.Tensor, group: int, dtype: torch.dtype) -> torch.Tensor:
    """Turn the visibility of tokens, [B, T, S], into the bias of `masked_attention`.

    Args:
        visible: True where a token is seen.
        group: query heads per key head.
        dtype: dtype of the scores.
    """
    # A float mask is built once per pass. SDPA would convert a boolean one in every layer.
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    bias.masked_fill_(~visible, float("-inf"))
    return bias.repeat(1, group, 1)[:, None]
