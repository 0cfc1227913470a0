"""Sizes of a LLaMA model, and its parameter and FLOP counts. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LlamaShape:
    """Sizes of a LLaMA model, under the names of `transformers.LlamaConfig`."""

    vocab_size: int = 32000
    """Rows of the embedding matrix."""
    hidden_size: int = 4096
    """Width of the residual stream."""
    intermediate_size: int = 11008
    """Width of the gated MLP."""
    num_hidden_layers: int = 32
    """Decoder layers."""
    num_attention_heads: int = 32
    """Query heads, each hidden_size / num_attention_heads wide."""
    num_key_value_heads: int = 32
    """Key and value heads; fewer than query heads for grouped-query attention."""
    max_position_embeddings: int = 4096
    """Longest sequence that the model supports, in tokens."""
    tie_word_embeddings: bool = False
    """Use the embedding as output head, too."""

    def num_parameters(self) -> int:
        """Return the number of trainable parameters, a tied embedding counted once."""
        # Query and output projection have hidden², keys and values hidden · kv_width each; the MLP
        # has gate, up and down. Each layer has two norms, and the model one more at its end.
        attention = 2 * self.hidden_size * (self.hidden_size + self.kv_width())
        mlp = 3 * self.hidden_size * self.intermediate_size
        layer = attention + mlp + 2 * self.hidden_size
        heads = 1 if self.tie_word_embeddings else 2
        return self.num_hidden_layers * layer + heads * self.embedding() + self.hidden_size

    def embedding(self) -> int:
        """Return the parameters of the embedding; an untied output head has as many."""
        return self.vocab_size * self.hidden_size

    def kv_width(self) -> int:
        """Return the width of all keys of a token; values have the same."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    def training_flops(self, tokens: int, squared_lengths: int) -> float:
        """Return the FLOPs of a forward and backward pass over documents.

        PaLM's convention (arXiv 2204.02311, appendix B), applied per document: 6 FLOPs per token
        and parameter of a matrix product (the output head is one, the embedding look-up is not),
        and 12 · layers · hidden · Σ len² for attention counted as non-causal.

        Args:
            tokens: Σ len over the documents.
            squared_lengths: Σ len² over the documents.
        """
        look_up = 0 if self.tie_word_embeddings else self.embedding()
        products = self.num_parameters() - look_up
        attention = 12 * self.num_hidden_layers * self.hidden_size * squared_lengths
        # 6: two FLOPs (multiply, add) forward; backward twice that, for activations and for
        # weights.
        return 6.0 * products * tokens + attention
