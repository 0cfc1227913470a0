"""Model directories: what is refused before training, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from pacos.model.architectures import ModelType
from pacos.model.shape import ModelShape
from pacos.model.trainable import local_problems, require_trainable, unknown_keys

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}


def written(folder: Path, kind: str = "llama", **config: Any) -> tuple[str, ModelShape]:
    sizes = {"max_position_embeddings": 4096, **SIZES}
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **sizes, **config}))
    return str(folder), ModelShape(model_type=ModelType(kind), **SIZES)


def said(model: tuple[str, ModelShape], max_length: int = 512) -> list[str]:
    return [str(problem) for problem in local_problems(*model, max_length)]


def test_a_directory_that_is_trained(tmp_path: Path) -> None:
    model = written(tmp_path)
    assert said(model) == []
    assert require_trainable(tmp_path, *model, 512).class_name == "LlamaForCausalLM"


def test_another_architecture_is_refused_before_and_after_the_download(tmp_path: Path) -> None:
    model = written(tmp_path, model_type="gemma2")
    (local,) = said(model)
    with pytest.raises(UserError) as refused:
        require_trainable(tmp_path, *model, 512)
    assert str(refused.value) == local


def test_every_key_of_a_shape_that_contradicts_the_directory_is_named(tmp_path: Path) -> None:
    model = written(tmp_path, model_type="qwen2", intermediate_size=96, vocab_size=512)
    assert said(model) == [
        "model.shape = model_type=llama, vocab_size=32000, intermediate_size=11008: is not that of "
        f"{tmp_path}, by its config.json; set model.shape.model_type=qwen2 "
        "model.shape.vocab_size=512 model.shape.intermediate_size=96"
    ]


@pytest.mark.parametrize(
    ("config", "limit", "name"),
    [
        ({"kind": "mistral", "sliding_window": 256}, 256, "sliding_window = 256"),
        (
            {
                "rope_scaling": {
                    "rope_type": "longrope",
                    "short_factor": [1.0],
                    "long_factor": [2.0],
                    "original_max_position_embeddings": 128,
                }
            },
            128,
            "original_max_position_embeddings of longrope = 128",
        ),
        (
            {
                "original_max_position_embeddings": 64,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
            },
            64,
            "longrope = 64",
        ),
    ],
)
def test_rows_longer_than_the_model_computes_plainly_are_refused(
    config: dict[str, Any], limit: int, name: str, tmp_path: Path
) -> None:
    model = written(tmp_path, intermediate_size=11008, **config)
    assert said(model, limit) == []
    (problem,) = said(model, limit + 1)
    assert problem.startswith(f"data.max_length = {limit + 1}: {tmp_path} has ")
    assert name in problem
    assert f"set it to {limit} or less" in problem


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "llama", "hidden_size": "wide"}'])
def test_a_damaged_config_is_named(text: str, tmp_path: Path) -> None:
    model = written(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=f"model.path = {tmp_path}: its config.json cannot be read"):
        require_trainable(tmp_path, *model, 512)


@pytest.mark.parametrize("path", ["owner/name", "embedded:smollm2-135m-instruct", "/not/there"])
def test_what_is_not_on_this_machine_is_looked_at_later(path: str) -> None:
    assert local_problems(path, ModelShape(), 512) == []


def test_keys_that_nobody_uses_are_known(tmp_path: Path) -> None:
    written(tmp_path, rope_theta=1e4, pretraining_tp=2, max_sequence_length=2048, own_trick=True)
    assert unknown_keys(tmp_path) == ["max_sequence_length", "own_trick"]
