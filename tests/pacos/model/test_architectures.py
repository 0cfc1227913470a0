"""The table of architectures: what is trained, and what is refused with a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from pacos.model.architectures import (
    has_plain_attention,
    local_training_problem,
    refuse_unused,
    require_trainable,
    training_problem,
)

KEY = "model.path"


def test_a_llama_is_trained(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert require_trainable(tmp_path, KEY, "x").class_name == "LlamaForCausalLM"
    assert local_training_problem(KEY, str(tmp_path)) is None


@pytest.mark.parametrize("model_type", ["mistral", "qwen2", "qwen3", "gemma2", None])
def test_other_architectures_are_refused_with_those_that_are_not(
    model_type: str | None, tmp_path: Path
) -> None:
    config = {"model_type": model_type, "architectures": ["SomethingForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = (
        f"model.path = x: SomethingForCausalLM (model_type {model_type}) cannot be trained; choose "
        "a model of a supported architecture: LlamaForCausalLM (model_type llama)"
    )
    with pytest.raises(UserError) as refused:
        require_trainable(tmp_path, KEY, "x")
    assert str(refused.value).startswith(message)
    local = local_training_problem(KEY, str(tmp_path))
    assert str(local) == str(refused.value).replace("= x", f"= {tmp_path}")


def test_a_value_that_training_would_ignore_is_refused() -> None:
    config = {"model_type": "llama", "attention_dropout": 0.1}
    problem = str(training_problem(config, KEY, "x"))
    assert "its config.json has attention_dropout = 0.1: the kernels of packed" in problem
    assert "set it to 0, or" in problem
    assert training_problem({**config, "attention_dropout": 0}, KEY, "x") is None


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.path = x: its config.json cannot be read"):
        require_trainable(tmp_path, KEY, "x")


@pytest.mark.parametrize("path", ["owner/name", "embedded:smollm2-135m-instruct", "/not/there"])
def test_what_is_not_on_this_machine_is_looked_at_later(path: str) -> None:
    assert local_training_problem(KEY, path) is None


@pytest.mark.parametrize(
    ("config", "is_plain"),
    [
        ({"model_type": "llama"}, True),
        ({"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 4096}, True),
        ({"model_type": "qwen2", "use_sliding_window": True}, False),
        ({"model_type": "qwen3", "layer_types": ["full_attention"] * 2}, True),
        ({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]}, False),
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
