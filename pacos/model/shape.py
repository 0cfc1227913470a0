"""The LLaMA architecture as numbers: shapes, parameter counts, FLOPs. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LlamaShape:
    """Sizes of a LLaMA model, under the names of `transformers.LlamaConfig` where it has one."""

    vocab_size: int = 32000
    """Rows of the embedding."""
    hidden_size: int = 4096
    """Width of the residual stream."""
    intermediate_size: int = 11008
    """Width inside the gated MLP."""
    num_hidden_layers: int = 32
    """Decoder layers."""
    num_attention_heads: int = 32
    """Query heads; hidden_size / num_attention_heads is a head's width."""
    num_key_value_heads: int = 32
    """Key and value heads; fewer than query heads means grouped-query attention."""
    max_position_embeddings: int = 4096
    """Longest sequence that the model was made for, in tokens."""
    tie_word_embeddings: bool = False
    """True: the output head is the embedding itself."""

    def num_parameters(self) -> int:
        """All trainable parameters, the tied embedding counted once."""
        attention = 2 * self.hidden_size * (self.hidden_size + self.kv_width())
        mlp = 3 * self.hidden_size * self.intermediate_size
        layer = attention + mlp + 2 * self.hidden_size
        heads = 1 if self.tie_word_embeddings else 2
        return self.num_hidden_layers * layer + heads * self.embedding() + self.hidden_size

    def embedding(self) -> int:
        """Parameters of the embedding, and of an output head of its own."""
        return self.vocab_size * self.hidden_size

    def kv_width(self) -> int:
        """Width of keys, and of values."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    def training_flops(self, tokens: int, squared_lengths: int) -> float:
        """FLOPs of forward and backward over documents with sum of lengths `tokens`.

        6 FLOPs a token for each parameter used in a matrix product (the output head is one, the
        embedding look-up is none), and 12 · layers · hidden · Σ len² for full, non-causal
        attention: PaLM's convention (arXiv 2204.02311, appendix B), taken per document.

        Args:
            tokens: Σ len over the documents.
            squared_lengths: Σ len² over the documents.
        """
        look_up = 0 if self.tie_word_embeddings else self.embedding()
        products = self.num_parameters() - look_up
        attention = 12 * self.num_hidden_layers * self.hidden_size * squared_lengths
        return 6.0 * products * tokens + attention
