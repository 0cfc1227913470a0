"""Attention of passes in which rows share trunks. The rest of the model sees one flat row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "pacos_eval"

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Types of transformers whose layers all see the whole context and add nothing to the scores.
Others may scale them, or attend through a window."""


class Layout(Protocol):
    """Where the tokens of a flat row belong."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attend in one layer.

        Args:
            layer: its number.
            query: [T, heads, width].
            key: [T, key heads, width].
            value: [T, key heads, width].
            scale: of the scores.

        Returns:
            [T, heads, width].
        """
        ...


def can_share(model: Any) -> bool:
    """Whether a model attends in a way that can be computed by `Layout.attend`."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return config.model_type in ARCHITECTURES and kinds == {"full_attention"}


@contextmanager
def shared_attention(model: Any) -> Iterator[None]:
    """Let a model take `layout=` in its calls; afterwards it attends as before."""
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
    layout: Layout,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in each layer, with tensors [1, heads, T, width]."""
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return layout.attend(module.layer_idx, query, key, value, scaling)[None], None


def causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Each token sees itself and those before it.

    Args:
        query: [B, T, heads, width].
        key: [B, T, key heads, width].
        value: [B, T, key heads, width].
        scale: of the scores.

    Returns:
        [B, T, heads, width].
    """
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    grouped = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
    ).transpose(1, 2)


def masked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Each token sees what `bias` lets it see.

    Heads that share a key are laid end to end, so that no key is copied.

    Args:
        query: [B, T, heads, width].
        key: [B, key heads, S, width].
        value: [B, key heads, S, width].
        bias: [B, 1, heads a key * T, S], 0 where a token is seen and -inf elsewhere.
        scale: of the scores.

    Returns:
        [B, T, heads, width].
    """
    rows, length, heads, width = query.shape
    together = heads // key.shape[1]
    query = query.view(rows, length, -1, together, width).permute(0, 2, 3, 1, 4)
    out = functional.scaled_dot_product_attention(
        query.reshape(rows, -1, together * length, width), key, value, attn_mask=bias, scale=scale
    )
    out = out.view(rows, -1, together, length, width).permute(0, 3, 1, 2, 4)
    return out.reshape(rows, length, heads, width)


def bias_of(visible: torch.Tensor, together: int, dtype: torch.dtype) -> torch.Tensor:
    """From what each token sees, [B, T, S], to the bias of `masked`.

    Args:
        visible: true where a token is seen.
        together: query heads a key head.
        dtype: of the scores.
    """
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    bias.masked_fill_(~visible, float("-inf"))
    return bias.repeat(1, together, 1)[:, None]
