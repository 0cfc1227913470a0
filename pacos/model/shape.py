"""Sizes of a model, and its parameter and FLOP counts. Free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pacos.model.architectures import ARCHITECTURES, ModelType, architecture_of, whole_number


@dataclass(kw_only=True, slots=True)
class ModelShape:
    """Sizes of a model of any trained family, under the names of its config.json."""

    model_type: ModelType = ModelType.llama
    """Family of the model. It decides which matrices have a bias, and whether the heads of queries
    and keys are normalized."""
    vocab_size: int = 32000
    """Rows of the embedding matrix."""
    hidden_size: int = 4096
    """Width of the residual stream."""
    intermediate_size: int = 11008
    """Width of the gated MLP."""
    num_hidden_layers: int = 32
    """Decoder layers."""
    num_attention_heads: int = 32
    """Query heads."""
    num_key_value_heads: int = 32
    """Key and value heads; fewer than query heads for grouped-query attention."""
    head_dim: int | None = None
    """Width of a head. null: hidden_size / num_attention_heads."""
    max_position_embeddings: int = 4096
    """Longest sequence that the model supports, in tokens."""
    tie_word_embeddings: bool = False
    """Use the embedding as output head, too."""
    attention_bias: bool = False
    """Biases in the four matrices of attention (llama and qwen3 only; qwen2 always has three)."""
    mlp_bias: bool = False
    """Biases in the three matrices of the MLP (llama only)."""

    def num_parameters(self) -> int:
        """Return the number of trainable parameters, a tied embedding counted once."""
        family, hidden = ARCHITECTURES[self.model_type], self.hidden_size
        query, keys = self.query_width(), self.kv_width()
        # Query, key, value and output; gate, up and down. Each layer has two norms of the hidden
        # size, and the model one more at its end.
        attention = 2 * hidden * (query + keys)
        if self.attention_bias or family.qkv_bias:
            attention += query + 2 * keys
        if self.attention_bias:
            attention += hidden
        if family.qk_norm:
            attention += 2 * self.head_width()
        mlp = 3 * hidden * self.intermediate_size
        if self.mlp_bias:
            mlp += 2 * self.intermediate_size + hidden
        layer = attention + mlp + 2 * hidden
        heads = 1 if self.tie_word_embeddings else 2
        return self.num_hidden_layers * layer + heads * self.embedding() + hidden

    def embedding(self) -> int:
        """Return the parameters of the embedding; an untied output head has as many."""
        return self.vocab_size * self.hidden_size

    def head_width(self) -> int:
        """Return the width of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def query_width(self) -> int:
        """Return the width of all queries of a token."""
        return self.head_width() * self.num_attention_heads

    def kv_width(self) -> int:
        """Return the width of all keys of a token; values have the same."""
        return self.head_width() * self.num_key_value_heads

    def training_flops(self, tokens: int, squared_lengths: int) -> float:
        """Return the FLOPs of a forward and backward pass over documents.

        PaLM's convention (arXiv 2204.02311, appendix B), applied per document: 6 FLOPs per token
        and parameter of a matrix product (the output head is one, the embedding look-up is not),
        and 12 · layers · query width · Σ len² for attention counted as non-causal.

        Args:
            tokens: Σ len over the documents.
            squared_lengths: Σ len² over the documents.
        """
        look_up = 0 if self.tie_word_embeddings else self.embedding()
        products = self.num_parameters() - look_up
        attention = 12 * self.num_hidden_layers * self.query_width() * squared_lengths
        # 6: two FLOPs (multiply, add) forward; backward twice that, for activations and for
        # weights.
        return 6.0 * products * tokens + attention

    def settings(self) -> dict[str, object]:
        """Return what config.json of a model of this shape says."""
        values = {**dataclasses.asdict(self), "head_dim": self.head_width()}
        known = ARCHITECTURES[self.model_type].defaults
        return {key: value for key, value in values.items() if key in known}


def shape_of(config: Mapping[str, object]) -> ModelShape:
    """Return the shape that a config.json describes.

    Args:
        config: its content, of a trained family.

    Raises:
        ValueError: a size is not a number above 0.
    """
    family = architecture_of(config)
    if family is None:
        raise ValueError(f"model_type = {config.get('model_type')} is no trained family")
    values: dict[str, Any] = {
        **family.defaults,
        **{key: config[key] for key in family.defaults if key in config},
    }
    if values["num_key_value_heads"] is None:
        values["num_key_value_heads"] = values["num_attention_heads"]
    if values["head_dim"] is None:
        heads = whole_number(values, "num_attention_heads")
        values["head_dim"] = whole_number(values, "hidden_size") // heads
    for key in values:
        is_flag = isinstance(family.defaults[key], bool)
        values[key] = bool(values[key]) if is_flag else whole_number(values, key)
    return ModelShape(model_type=ModelType(config["model_type"]), **values)


def differences(given: ModelShape, true: ModelShape) -> dict[str, tuple[object, object]]:
    """Return the fields in which two shapes differ, with both values, in their order."""
    pairs = (
        dataclasses.asdict(dataclasses.replace(shape, head_dim=shape.head_width()))
        for shape in (given, true)
    )
    first, second = pairs
    return {key: (first[key], second[key]) for key in first if first[key] != second[key]}
