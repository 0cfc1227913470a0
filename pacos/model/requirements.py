"""Keys of config.json that change what other architectures compute, with their neutral values.

The classes of the trained families ignore these keys. A config.json that has one describes another
model than the one that transformers would build from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """A key of config.json with the values that pacos computes correctly."""

    key: str
    allowed: tuple[object, ...]
    """Correct values; of a list, every element must be one of them. An absent key is correct."""
    consequence: str
    """The effect of any other value, for the message."""
    remedy: str | None = None
    """How to train the model all the same, in the imperative."""

    def is_met(self, config: Mapping[str, object]) -> bool:
        """Return True if config.json has a correct value."""
        value = config.get(self.key, self.allowed[0])
        values = value if isinstance(value, list) else [value]
        return all(element in self.allowed for element in values)

    def fault(self, config: Mapping[str, object]) -> str:
        """Return the value and its effect."""
        return f"{self.key} = {config.get(self.key)} ({self.consequence})"


OFF = (False, None)
ABSENT = (None, 0)
ONE = (1, None)


def _each(
    allowed: tuple[object, ...], consequence: str, *keys: str, remedy: str | None = None
) -> tuple[Requirement, ...]:
    return tuple(Requirement(key, allowed, consequence, remedy) for key in keys)


NEUTRAL = (
    *_each(
        (0, None),
        "the kernels of packed attention have no dropout",
        "attention_dropout",
        remedy="set attention_dropout to 0",
    ),
    *_each((0, None), "no such dropout is computed", "hidden_dropout", "resid_pdrop", "embd_pdrop"),
    *_each(
        ("silu", "swish", None),
        "the MLP is proven with SiLU only",
        "hidden_act",
        "hidden_activation",
    ),
    *_each(
        ONE,
        "such a factor is not computed",
        *("logits_scaling", "logit_scale", "residual_multiplier", "embedding_multiplier"),
        *("scale_emb", "embedding_scale"),
    ),
    *_each(
        (None,),
        "the scores have another scale",
        *("attention_multiplier", "query_pre_attn_scalar", "scale_depth", "dim_model_base"),
    ),
    *_each(
        ABSENT,
        "values are not capped",
        *("attn_logit_softcapping", "final_logit_softcapping", "logits_soft_cap", "clip_qkv"),
    ),
    *_each(
        ONE,
        "all dimensions of a head are rotated",
        *("partial_rotary_factor", "rotary_pct", "no_rope_layers"),
    ),
    *_each((None, 0), "every layer is rotated", "no_rope_layer_interval", "rotary_dim"),
    *_each(
        OFF,
        "such a layer is not computed",
        *("alibi", "rope_interleaved", "use_mrope", "parallel_attn", "use_parallel_residual"),
        *("qk_layernorm", "use_qk_norm", "qk_norm", "use_bias"),
    ),
    *_each(
        ABSENT,
        "experts are not computed",
        *("num_local_experts", "num_experts", "n_routed_experts"),
    ),
    *_each(ABSENT, "attention is not chunked", "attention_chunk_size"),
    *_each((True, None), "attention is always causal", "is_causal"),
)
"""Requirements of every family."""

HARMLESS = frozenset(
    [
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "dtype",
        "eos_token_id",
        "id2label",
        "initializer_range",
        "is_decoder",
        "is_encoder_decoder",
        "is_llama_config",
        "label2id",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "pretraining_tp",
        "problem_type",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "unk_token_id",
        "unsloth_fixed",
        "unsloth_version",
        "use_cache",
    ]
)
"""Keys that change nothing that is computed in training. `pretraining_tp` sums a product in slices:
another rounding of the same value."""
