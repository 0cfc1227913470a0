"""The table of architectures: what is trained, and what is refused with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from pacos.model.architectures import (
    ModelType,
    has_plain_attention,
    refuse_unused,
    training_problem,
    window_of,
)

KEY = "model.path"


def refusal(**config: Any) -> str:
    problem = training_problem(config, KEY, "x")
    assert problem is not None
    return str(problem)


@pytest.mark.parametrize("kind", ModelType)
def test_each_family_is_trained(kind: ModelType) -> None:
    assert training_problem({"model_type": kind.value}, KEY, "x") is None


@pytest.mark.parametrize("model_type", ["granite", "phi3", "mixtral", "gemma2", "qwen3_moe", None])
def test_other_architectures_are_refused_with_those_that_are_not(model_type: str | None) -> None:
    said = refusal(model_type=model_type, architectures=["SomethingForCausalLM"])
    assert said == (
        f"model.path = x: SomethingForCausalLM (model_type {model_type}) cannot be trained; choose "
        "a model of a supported architecture: LlamaForCausalLM (model_type llama), "
        "MistralForCausalLM (model_type mistral), Qwen2ForCausalLM (model_type qwen2), "
        "Qwen3ForCausalLM (model_type qwen3)"
    )


@pytest.mark.parametrize(
    ("key", "wrong", "neutral"),
    [
        ("hidden_act", "gelu", "silu"),
        ("logits_scaling", 8.0, 1.0),
        ("residual_multiplier", 0.22, 1),
        ("attention_multiplier", 0.0156, None),
        ("attn_logit_softcapping", 50.0, None),
        ("partial_rotary_factor", 0.5, 1.0),
        ("no_rope_layers", [1, 1, 0], [1, 1, 1]),
        ("clip_qkv", 8, None),
        ("num_local_experts", 8, 0),
        ("is_causal", False, True),
        ("layer_types", ["full_attention", "sliding_attention"], ["full_attention"] * 2),
        ("sliding_window", 4096, None),
        ("rope_scaling", {"type": "mrope"}, {"type": "linear", "factor": 2.0}),
        ("rope_parameters", {"partial_rotary_factor": 0.5}, {"rope_theta": 1e6}),
        ("architectures", ["LlamaForSequenceClassification"], ["LLaMAForCausalLM"]),
        ("auto_map", {"AutoModelForCausalLM": "own.Model"}, {"AutoTokenizer": "own.Tokenizer"}),
    ],
)
def test_a_llama_that_computes_something_else_is_refused(
    key: str, wrong: object, neutral: object
) -> None:
    assert training_problem({"model_type": "llama", key: neutral}, KEY, "x") is None
    said = refusal(model_type="llama", **{key: wrong})
    name = "partial_rotary_factor" if key == "rope_parameters" else key
    assert name in said or "mrope" in said
    assert "choose a model of a supported architecture" in said


def test_everything_that_differs_is_named_at_once() -> None:
    said = refusal(model_type="llama", logits_scaling=8.0, embedding_multiplier=12.0)
    assert "logits_scaling = 8.0" in said
    assert "embedding_multiplier = 12.0" in said


@pytest.mark.parametrize(
    ("kind", "key"),
    [("mistral", "attention_bias"), ("mistral", "mlp_bias"), ("qwen3", "mlp_bias")],
)
def test_a_bias_that_the_family_does_not_have_is_refused(kind: str, key: str) -> None:
    assert training_problem({"model_type": kind, key: False}, KEY, "x") is None
    assert f"{key} = True" in refusal(model_type=kind, **{key: True})


def test_a_value_that_training_would_ignore_is_refused() -> None:
    said = refusal(model_type="llama", attention_dropout=0.1)
    assert "its config.json has attention_dropout = 0.1 (the kernels of packed" in said
    assert "; set attention_dropout to 0 or choose a model of" in said


@pytest.mark.parametrize(
    ("key", "settings", "method"),
    [
        ("quantization_config", {"quant_method": "gptq", "bits": 4}, "gptq"),
        ("quantization_config", {"quant_method": "awq"}, "awq"),
        ("quantization_config", {"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ("compression_config", {"format": "int-quantized"}, "unnamed"),
    ],
)
def test_quantized_weights_are_refused(key: str, settings: Any, method: str) -> None:
    said = refusal(model_type="llama", **{key: settings})
    assert f"its weights are quantized ({key} in config.json: {method})" in said
    assert "give the model that it was quantized from" in said


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"model_type": "llama"}, None),
        ({"model_type": "mistral"}, 4096),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "qwen2", "sliding_window": 64}, None),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64}, 64),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "num_hidden_layers": 28},
            None,
        ),
        (
            {
                "model_type": "qwen3",
                "use_sliding_window": True,
                "layer_types": ["full_attention", "sliding_attention"],
            },
            4096,
        ),
    ],
)
def test_the_window_is_that_of_the_layers_that_slide(
    config: dict[str, Any], window: int | None
) -> None:
    assert window_of(config) == window


def test_layers_that_slide_without_a_window_are_refused() -> None:
    said = refusal(model_type="qwen3", layer_types=["sliding_attention"])
    assert "no window is on" in said


@pytest.mark.parametrize(
    ("config", "is_plain"),
    [
        ({"model_type": "llama"}, True),
        ({"model_type": "llama", "attention_dropout": 0.1}, True),
        ({"model_type": "llama", "is_causal": False}, False),
        ({"model_type": "mistral"}, False),
        ({"model_type": "mistral", "sliding_window": None}, True),
        ({"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 4096}, True),
        ({"model_type": "qwen2", "use_sliding_window": True}, False),
        ({"model_type": "qwen3", "layer_types": ["full_attention"] * 2}, True),
        (
            {
                "model_type": "qwen3",
                "use_sliding_window": True,
                "layer_types": ["full_attention", "sliding_attention"],
            },
            False,
        ),
        ({"model_type": "gemma2"}, False),
        ({}, False),
    ],
)
def test_attention_is_plain_only_where_it_is_known_to_be(
    config: dict[str, Any], is_plain: bool
) -> None:
    assert has_plain_attention(config) is is_plain


def test_options_that_are_set_are_named() -> None:
    refuse_unused({"sliding_window": None, "softcap": None})
    with pytest.raises(ValueError, match="attention option sliding_window, s_aux"):
        refuse_unused({"sliding_window": 5, "softcap": None, "s_aux": 0.0})
