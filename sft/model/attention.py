"""Attention that keeps packed documents apart, by the best kernel that the device has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_flash_attention_utils import (
    FLASH_ATTN_KERNEL_FALLBACK,
    lazy_import_flash_attention,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sft.configs.compute import Attention
from sft.model import cpu_bf16
from sft.model.sequence_parallel import SequenceGroup

Kernel = Callable[..., torch.Tensor]
"""Causal attention within documents that lie end to end.

    query [T, heads, width], key and value [T, key heads, width], ends [documents + 1] int32 (where
    documents begin, and T), tokens of the longest, factor of the scores -> [T, heads, width]
"""

HOPPER = (9, 0)
"""Compute capability from which FlashAttention-3 runs."""


def sdpa_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scale: float,
) -> torch.Tensor:
    """By torch alone: a call a document, Σ len² work, and never a T x T mask.

    On a GPU the ends are fetched once a layer, and short documents leave it idle between calls.
    """
    groups = query.shape[1] // key.shape[1]
    lengths = ends.diff().tolist()
    whole = (query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1))
    # As a batch of one: torch has fused kernels for four dimensions only, and with three it would
    # keep a matrix of scores for each head.
    batched = (cpu_bf16.operand(tensor.transpose(0, 1))[None] for tensor in whole)
    parts = [tensor.split(lengths, dim=2) for tensor in batched]
    outputs = [
        functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        for q, k, v in zip(*parts, strict=True)
    ]
    return torch.cat(outputs, dim=2)[0].transpose(0, 1).to(query.dtype)


def flash_kernel(implementation: str) -> Kernel:
    """FlashAttention for documents of any length, as transformers finds it.

    Args:
        implementation: `flash_attention_2` or `_3` of an installed package, or a repository of the
            hub, which the package kernels fetches.

    Raises:
        Exception: whatever a package that was built for another torch or GPU raises.
    """
    (_, varlen, *_), _ = lazy_import_flash_attention(implementation)

    def kernel(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        ends: torch.Tensor,
        longest: int,
        scale: float,
    ) -> torch.Tensor:
        output = varlen(
            query, key, value, ends, ends, longest, longest, softmax_scale=scale, causal=True
        )
        # FlashAttention-3 adds the normaliser in some releases.
        return output[0] if isinstance(output, tuple) else output

    return kernel


def candidates(
    wanted: Attention, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[Attention, Callable[[], Kernel]]]:
    """What could compute attention here, the best first: each with how to load it."""

    def allows(attention: Attention) -> bool:
        return wanted in (Attention.auto, attention)

    if device.type == "cuda" and dtype is torch.bfloat16:
        hopper = torch.cuda.get_device_capability(device) >= HOPPER
        if allows(Attention.flash):
            if hopper and importlib.util.find_spec("flash_attn_interface"):
                yield Attention.flash, lambda: flash_kernel("flash_attention_3")
            if importlib.util.find_spec("flash_attn"):
                yield Attention.flash, lambda: flash_kernel("flash_attention_2")
        if allows(Attention.kernels) and importlib.util.find_spec("kernels"):
            name = "flash_attention_3" if hopper else "flash_attention_2"
            yield Attention.kernels, lambda: flash_kernel(FLASH_ATTN_KERNEL_FALLBACK[name])
    if allows(Attention.sdpa):
        yield Attention.sdpa, lambda: sdpa_kernel


@dataclass(frozen=True, slots=True)
class PackedAttention:
    """Attention of a model that trains on flat rows, which ranks may share."""

    name: Attention
    kernel: Kernel
    sequence: SequenceGroup | None = None

    def install(self, model: Any) -> None:
        """Let a transformers model attend this way."""
        shared = f"_{self.sequence.size}" if self.sequence else ""
        # transformers takes every name with `flash` in it for one of its own.
        name = f"pacos_{self.name.value.replace('flash', 'fa')}{shared}"
        ALL_ATTENTION_FUNCTIONS.register(name, self.attend)
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, _mask)
        model.set_attn_implementation(name)

    def attend(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        scaling: float,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """What transformers calls in each layer.

        Args:
            module: the attention layer.
            query: [1, heads, T, width]; of a shared row, this rank's part of its T tokens.
            key: [1, key heads, T, width].
            value: [1, key heads, T, width].
            attention_mask: of calls that are not packed, such as generation.
            scaling: factor of the scores.
            cu_seq_lens_q: [documents + 1], where documents of the whole row begin, and its length.
                Without it the call is an ordinary one, of torch's own attention.
            max_length_q: tokens of the longest document.
            options: what transformers adds.

        Returns:
            [1, T, heads, width], and no weights.
        """
        if cu_seq_lens_q is None:
            positions = options.get("position_ids")
            if attention_mask is None and positions is not None and _has_several(positions):
                raise ValueError("a packed row needs cu_seq_lens_q: its documents would mix")
            return sdpa_attention_forward(
                module, query, key, value, attention_mask, scaling=scaling, **options
            )
        parts = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        if self.sequence is None:
            output = self.kernel(*parts, cu_seq_lens_q, max_length_q, scaling)
        else:
            whole = [self.sequence.gather_tokens(part) for part in parts]
            output = self.kernel(*whole, cu_seq_lens_q, max_length_q, scaling)
            output = self.sequence.gather_heads(output)
        return output[None], None


def _has_several(positions: torch.Tensor) -> bool:
    """Whether a row holds several documents; rows beside each other may begin alike."""
    return bool(((positions == 0).sum(dim=-1) > 1).any())


def _mask(*, attention_mask: torch.Tensor | None = None, **options: Any) -> torch.Tensor | None:
    """A single row without padding needs none: `attend` knows where its documents begin."""
    single = options["batch_size"] == 1 and options["q_length"] == options["kv_length"]
    if single and attention_mask is None:
        return None
    return sdpa_mask(attention_mask=attention_mask, **options)
