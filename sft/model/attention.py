"""Attention that keeps packed documents apart, with the best kernel of the device."""

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

from pacos.model.architectures import refuse_unused
from pacos.model.protocols import CausalLM
from sft.configs.compute import Attention
from sft.model import cpu_bf16
from sft.model.sequence_parallel import SequenceGroup

Kernel = Callable[..., torch.Tensor]
"""Causal attention within documents that lie end to end.

    query [T, heads, width], key and value [T, key heads, width], ends [documents + 1] int32 (the
    position at which each document begins, then T), length of the longest document, scale of the
    scores -> [T, heads, width]
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
    """Attend with torch alone: one call per document, Σ length² work, and never a [T, T] mask.

    On a GPU the lengths are fetched once per layer, and short documents leave it idle between
    calls. It is the fallback there, and the kernel of CPUs.
    """
    groups = query.shape[1] // key.shape[1]
    lengths = ends.diff().tolist()
    expanded = (query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1))
    # As a batch of one: torch has fused kernels for four dimensions only, and with three it would
    # keep a matrix of scores for each head.
    batched = (cpu_bf16.operand(tensor.transpose(0, 1))[None] for tensor in expanded)
    parts = [tensor.split(lengths, dim=2) for tensor in batched]
    outputs = [
        functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        for q, k, v in zip(*parts, strict=True)
    ]
    return torch.cat(outputs, dim=2)[0].transpose(0, 1).to(query.dtype)


def flash_kernel(implementation: str) -> Kernel:
    """Load FlashAttention for documents of any length, as transformers finds it.

    Args:
        implementation: `flash_attention_2` or `_3` for an installed package, or a repository of
            the hub, which the package `kernels` fetches.

    Raises:
        Exception: a package that was built for another torch or GPU can raise anything.
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
        # Some releases of FlashAttention-3 also return the normalizer of the softmax.
        return output[0] if isinstance(output, tuple) else output

    return kernel


def candidates(
    wanted: Attention, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[Attention, Callable[[], Kernel]]]:
    """Yield the implementations for this device, the best first, each with its loader."""

    def allows(attention: Attention) -> bool:
        return wanted in (Attention.auto, attention)

    # FlashAttention has no fp32.
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
    """Attention of a model that trains on flat rows, which several ranks may share."""

    name: Attention
    kernel: Kernel
    sequence: SequenceGroup | None = None

    def install(self, model: CausalLM) -> None:
        """Replace the attention of a transformers model."""
        shared = f"_{self.sequence.size}" if self.sequence else ""
        # transformers takes every name that contains `flash` for one of its own.
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
        dropout: float = 0.0,
        position_ids: torch.Tensor | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        cu_seq_lens_k: torch.Tensor | None = None,
        max_length_q: int | None = None,
        max_length_k: int | None = None,
        use_cache: bool | None = None,
        sliding_window: int | None = None,
        **options: object,
    ) -> tuple[torch.Tensor, None]:
        """Attend in one layer; transformers calls this.

        The parameters are what transformers 5.23 passes for the supported architectures, by name:
        an option that is not among them is refused instead of dropped.

        Args:
            module: the attention layer.
            query: [1, heads, T, width]; for a shared row, this rank's part of the T tokens.
            key: [1, key heads, T, width].
            value: [1, key heads, T, width].
            attention_mask: mask of a call that is not packed, such as generation.
            scaling: scale of the scores.
            dropout: dropout of the attention weights; packed attention has none.
            position_ids: already applied to query and key; here they reveal a packed row.
            cu_seq_lens_q: [documents + 1], the position in the whole row at which each document
                begins, then its length. Without it the call is an ordinary one, and torch's own
                attention computes it.
            cu_seq_lens_k: the same tensor: keys and queries are those of the same tokens.
            max_length_q: tokens of the longest document.
            max_length_k: the same number.
            use_cache: whether keys and values were cached, which happens before this call.
            sliding_window: tokens that each token sees. Of an ordinary call it is in the mask; a
                packed document must be no longer.
            options: anything else, which must be None.

        Returns:
            [1, T, heads, width], and None for the attention weights.
        """
        refuse_unused(options)
        if cu_seq_lens_q is None:
            if attention_mask is None and position_ids is not None and _is_packed(position_ids):
                raise ValueError("a packed row needs cu_seq_lens_q: its documents would mix")
            return sdpa_attention_forward(
                module, query, key, value, attention_mask, scaling=scaling, dropout=dropout
            )
        if dropout:
            raise ValueError(f"attention dropout {dropout}: packed attention has none")
        if sliding_window is not None and (max_length_q is None or max_length_q > sliding_window):
            raise ValueError(
                f"a document of {max_length_q} tokens: its tokens would see beyond their window of "
                f"{sliding_window}"
            )
        parts = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        if self.sequence is None:
            output = self.kernel(*parts, cu_seq_lens_q, max_length_q, scaling)
        else:
            # From a part of the tokens with all heads to all tokens with a part of the heads, so
            # that the kernel sees whole documents; and back.
            gathered = [self.sequence.gather_tokens(part) for part in parts]
            output = self.kernel(*gathered, cu_seq_lens_q, max_length_q, scaling)
            output = self.sequence.gather_heads(output)
        return output[None], None


def _is_packed(positions: torch.Tensor) -> bool:
    """Return True if any row holds several documents: positions start again at 0 within it."""
    return bool(((positions == 0).sum(dim=-1) > 1).any())


def _mask(*, attention_mask: torch.Tensor | None = None, **options: Any) -> torch.Tensor | None:
    """Return the mask that transformers hands to `attend`.

    A single row without padding needs none, because `attend` knows where its documents begin, and
    the [T, T] mask that sdpa would make is 1 GiB at 32,768 tokens.
    """
    is_single = options["batch_size"] == 1 and options["q_length"] == options["kv_length"]
    window = options.get("local_size")
    # A sliding window is for the mask of a single document to limit. transformers allows no causal
    # kernel where it finds a pack, whose documents fit into the window, as `attend` checks.
    is_limited = (
        window is not None and options["kv_length"] > window and options["allow_is_causal_skip"]
    )
    if is_single and attention_mask is None and not is_limited:
        return None
    return sdpa_mask(attention_mask=attention_mask, **options)
