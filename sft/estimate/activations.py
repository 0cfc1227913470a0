"""The memory of a forward-backward pass: tensors saved for backward, and the transient peak."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.model.architectures import ARCHITECTURES
from pacos.model.shape import ModelShape
from sft.configs.compute import CHUNK_LOGITS, ActivationCheckpointing


@dataclass(frozen=True, slots=True)
class Kernels:
    """The properties of the kernels that decide activation memory, beside the model's shape."""

    width: int
    """Bytes per weight and per activation."""
    flash: bool
    """True for FlashAttention; torch's own attention needs keys and values repeated for each query
    head."""
    widened: bool = False
    """True if bf16 matrix products run in fp32, as on CPUs without bf16 units."""

    @property
    def product(self) -> int:
        """Bytes per number that comes out of a matrix product or goes into attention."""
        return 4 if self.widened else self.width


def layer_uncheckpointed(shape: ModelShape, kernels: Kernels) -> float:
    """Return the bytes per token that a decoder layer saves without checkpointing.

    Norms save their input in fp32, the normalized input, and its product with the weight; attention
    saves queries, keys, values and output; the MLP saves gate, SiLU(gate), up, and their product.
    """
    width, hidden = kernels.width, shape.hidden_size
    norms = 2 * (4 + 2 * width) * hidden
    if ARCHITECTURES[shape.model_type].qk_norm:
        # The product with the weight is rotated, and the rotated one saved by attention.
        norms += (4 + width) * (shape.query_width() + shape.kv_width())
    mlp = 4 * width * shape.intermediate_size
    return norms + _attention(shape, kernels) + mlp


def _attention(shape: ModelShape, kernels: Kernels) -> float:
    # One fp32 log-sum-exp per head and token replaces the attention matrix in both kernels.
    width, query, logsumexp = kernels.width, shape.query_width(), 4 * shape.num_attention_heads
    if kernels.flash:
        return width * (2 * query + 2 * shape.kv_width()) + logsumexp
    return (4 * kernels.product + width) * query + logsumexp


def layer_saved(
    shape: ModelShape, checkpointing: ActivationCheckpointing, kernels: Kernels
) -> float:
    """Return the bytes per token that a decoder layer saves until its backward pass."""
    if checkpointing is ActivationCheckpointing.none:
        return layer_uncheckpointed(shape, kernels)
    layer_input = kernels.width * shape.hidden_size
    if checkpointing is ActivationCheckpointing.full:
        return layer_input
    # Outputs of all seven matrix products: o and down (hidden size each), q, k and v, gate and up.
    attended = shape.query_width()
    products = 2 * shape.hidden_size + attended + 2 * shape.kv_width() + 2 * shape.intermediate_size
    return layer_input + kernels.product * (products + attended) + 4 * shape.num_attention_heads


def layer_transient(
    shape: ModelShape, checkpointing: ActivationCheckpointing, kernels: Kernels
) -> float:
    """Return the bytes per token that one layer's backward pass needs beside the saved ones.

    These are the recomputed activations, and the gradients of gate and up and of two tensors of the
    hidden size.
    """
    recomputed = 0.0
    if checkpointing is not ActivationCheckpointing.none:
        saved = layer_saved(shape, checkpointing, kernels)
        recomputed = layer_uncheckpointed(shape, kernels) - saved
    gradients = (
        2 * kernels.product * shape.intermediate_size + 2 * kernels.width * shape.hidden_size
    )
    return recomputed + gradients


def head_saved(shape: ModelShape, tokens: float, kernels: Kernels) -> float:
    """Return the bytes kept from the loss to its backward pass.

    The chunked loss computes the gradients of the head's weight and input in its forward pass and
    keeps those in place of the logits.
    """
    return kernels.width * (shape.embedding() + 2 * shape.hidden_size * tokens)


def head_transient(shape: ModelShape, tokens: float, kernels: Kernels) -> float:
    """Return the peak bytes of the last norm and of `chunked_nll`, beside `head_saved`."""
    norm = (4 + 2 * kernels.width) * shape.hidden_size * tokens
    logits = _chunk_logits(shape, tokens)
    if kernels.width == 4:
        # fp32 logits and their gradients; products accumulate straight into the weight's gradient.
        return norm + 2 * 4 * logits
    if kernels.widened:
        # The same, plus the head's weight and its accumulated gradient in fp32.
        return norm + 8 * shape.embedding() + 2 * 4 * logits
    # The accumulated gradient in fp32, and a chunk's logits in fp32 and bf16. The gradient rounded
    # to bf16 is counted in head_saved.
    wide = 4 * (shape.embedding() + logits)
    return norm + wide + bf16_logits(shape, tokens, kernels)


def bf16_logits(shape: ModelShape, tokens: float, kernels: Kernels) -> float:
    """Return the bytes of a chunk's bf16 logits, reused for their gradients; 0 without bf16."""
    return 0.0 if kernels.product == 4 else kernels.product * _chunk_logits(shape, tokens)


def _chunk_logits(shape: ModelShape, tokens: float) -> float:
    return min(CHUNK_LOGITS, tokens * shape.vocab_size)
