"""What a pass through the model keeps for its backward pass, and needs for a moment."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.model.shape import LlamaShape
from sft.configs.compute import CHUNK_LOGITS, ActivationCheckpointing


@dataclass(frozen=True, slots=True)
class Kernels:
    """What decides on the bytes of activations, beside the model."""

    width: int
    """Bytes of a number of weights and activations."""
    flash: bool
    """Whether attention is FlashAttention; else torch's own, which gets keys and values repeated
    for each query head."""
    widened: bool = False
    """Whether products are made in fp32 of bf16 numbers, as on CPUs without bf16 units."""

    @property
    def product(self) -> int:
        """Bytes of a number as it comes out of a matrix product, and goes into attention."""
        return 4 if self.widened else self.width


def layer_all(shape: LlamaShape, kernels: Kernels) -> float:
    """Bytes a token that a decoder layer keeps without checkpointing.

    Norms: their input in fp32, the normalised, and that times the weight. Attention: queries, keys,
    values, output. MLP: gate, its SiLU, up, and their product.
    """
    width, hidden = kernels.width, shape.hidden_size
    norms = 2 * (4 + 2 * width) * hidden
    mlp = 4 * width * shape.intermediate_size
    return norms + _attention(shape, kernels) + mlp


def _attention(shape: LlamaShape, kernels: Kernels) -> float:
    width, hidden, logsumexp = kernels.width, shape.hidden_size, 4 * shape.num_attention_heads
    if kernels.flash:
        return width * (2 * hidden + 2 * shape.kv_width()) + logsumexp
    return (4 * kernels.product + width) * hidden + logsumexp


def layer_kept(
    shape: LlamaShape, checkpointing: ActivationCheckpointing, kernels: Kernels
) -> float:
    """Bytes a token that a decoder layer keeps until its backward pass."""
    if checkpointing is ActivationCheckpointing.none:
        return layer_all(shape, kernels)
    entry = kernels.width * shape.hidden_size
    if checkpointing is ActivationCheckpointing.full:
        return entry
    products = 3 * shape.hidden_size + 2 * shape.kv_width() + 2 * shape.intermediate_size
    attended = shape.hidden_size
    return entry + kernels.product * (products + attended) + 4 * shape.num_attention_heads


def layer_moment(
    shape: LlamaShape, checkpointing: ActivationCheckpointing, kernels: Kernels
) -> float:
    """Bytes a token that the backward pass of one layer needs beside what is kept.

    What is computed again, and gradients: of the MLP's gate and up, and of two tensors as wide as
    the model.
    """
    again = 0.0
    if checkpointing is not ActivationCheckpointing.none:
        again = layer_all(shape, kernels) - layer_kept(shape, checkpointing, kernels)
    gradients = (
        2 * kernels.product * shape.intermediate_size + 2 * kernels.width * shape.hidden_size
    )
    return again + gradients


def head_kept(shape: LlamaShape, tokens: float, kernels: Kernels) -> float:
    """Bytes from the loss to its backward pass: gradients of the head's weight and input."""
    return kernels.width * (shape.embedding() + 2 * shape.hidden_size * tokens)


def head_moment(shape: LlamaShape, tokens: float, kernels: Kernels) -> float:
    """Peak bytes of the last norm and of `chunked_nll`, beside `head_kept`."""
    norm = (4 + 2 * kernels.width) * shape.hidden_size * tokens
    logits = _logits(shape, tokens)
    if kernels.width == 4:
        # Logits and their slopes; products go into the sum, which is the gradient itself.
        return norm + 2 * 4 * logits
    if kernels.widened:
        # Likewise, with the weight and the sum in fp32.
        return norm + 8 * shape.embedding() + 2 * 4 * logits
    # The sum in fp32, logits in both formats; at the end the sum is rounded.
    wide = 4 * (shape.embedding() + logits)
    return norm + wide + slopes_in_bf16(shape, tokens, kernels)


def slopes_in_bf16(shape: LlamaShape, tokens: float, kernels: Kernels) -> float:
    """Bytes of a chunk's logits, then of their slopes, where products take bf16; else 0."""
    return 0.0 if kernels.product == 4 else kernels.product * _logits(shape, tokens)


def _logits(shape: LlamaShape, tokens: float) -> float:
    return min(CHUNK_LOGITS, tokens * shape.vocab_size)
