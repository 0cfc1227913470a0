"""Model directories of every family: the loss of transformers, and a way back to transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from pacos.configs.cluster import ClusterConfig
from pacos.configs.model import ModelConfig
from pacos.model.shape import shape_of
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.data import DataConfig
from sft.configs.deepspeed import DeepSpeedConfig
from sft.model.build import build_model
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.export.test_model import SHARD, exported
from tests.sft.ranks import run_ranks

CPU = torch.device("cpu")
LENGTHS = (64, 9, 33, 2, 50)
LONGEST = max(LENGTHS)
SIZES: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
SCALING: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "longrope": {
        "factor": 2.0,
        "original_max_position_embeddings": 64,
        "short_factor": [1.0, 1.5, 2.0, 3.0],
        "long_factor": [2.0, 3.0, 4.0, 6.0],
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}
SLIDING = {"use_sliding_window": True, "sliding_window": LONGEST, "max_window_layers": 1}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama tied": {"tie_word_embeddings": True},
    "llama biases": {"attention_bias": True, "mlp_bias": True},
    "llama heads": {"head_dim": 12},
    **{
        f"llama {kind}": {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, **values}}
        for kind, values in SCALING.items()
    },
    "mistral": {"sliding_window": LONGEST},
    "mistral without": {"sliding_window": None, "head_dim": 12},
    "qwen2": {},
    "qwen2 sliding": SLIDING,
    "qwen3": {"head_dim": 12},
    "qwen3 all": {**SLIDING, "head_dim": 12, "attention_bias": True, "tie_word_embeddings": True},
}
"""What a config.json says beside SIZES. A name begins with its `model_type`."""
ONE_EACH = {"llama llama3", "mistral", "qwen2", "qwen3 all"}


def write(folder: Path, name: str, more: Mapping[str, Any]) -> SFTConfig:
    """Save a random model, and return a run on it in fp32."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.partition(" ")[0], **SIZES, **more)
    model: Any = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return run_on(folder)


def run_on(folder: Path) -> SFTConfig:
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    return SFTConfig(
        model=ModelConfig(name="small", path=str(folder), shape=shape),
        data=DataConfig(path="x", max_length=LONGEST),
        precision=Precision.fp32,
    )


def rows() -> list[TokenizedRow]:
    draw, found = np.random.default_rng(0), []
    for length in LENGTHS:
        ids = draw.integers(259, size=length, dtype=np.int32)
        labels = np.where(np.arange(length) < 1 + length // 5, IGNORE, ids).astype(np.int32)
        found.append(TokenizedRow(ids=ids, labels=labels))
    return found


def loss_of_transformers(folder: Path) -> float:
    """Row by row, by the class, the attention and the masks of transformers."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    total = 0.0
    for row in rows():
        ids, labels = (torch.from_numpy(part).long() for part in (row.ids, row.labels))
        with torch.no_grad():
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        total += float(functional.cross_entropy(logits, labels[1:], reduction="sum"))
    return total


def packed_loss(config: SFTConfig) -> float:
    model = build_model(config, byte_tokenizer(), CPU)
    assert sum(each.numel() for each in model.parameters()) == config.model.shape.num_parameters()
    with torch.no_grad():
        return float(nll_sum(model, Batch.of(rows(), CPU)))


@pytest.mark.parametrize("name", MODELS)
def test_the_packed_loss_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    config = write(tmp_path, name, MODELS[name])
    assert config.model_problems() == []
    assert packed_loss(config) == pytest.approx(loss_of_transformers(tmp_path), rel=1e-6)


def test_an_old_spelling_of_the_rotary_embedding_is_read(tmp_path: Path) -> None:
    config = write(tmp_path, "llama", {})
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    del values["rope_parameters"]
    plain = loss_of_transformers(tmp_path)
    old = {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 3.0}}
    path.write_text(json.dumps({**values, **old}))
    assert config.model_problems() == []
    assert packed_loss(config) == pytest.approx(loss_of_transformers(tmp_path), rel=1e-6)
    assert packed_loss(config) != pytest.approx(plain, rel=1e-4)


def export_all(configs: list[SFTConfig], folders: list[Path]) -> None:
    for config, folder in zip(configs, folders, strict=True):
        exported(config, folder, SHARD)


@pytest.mark.parametrize(
    "names",
    [ONE_EACH, pytest.param(MODELS.keys() - ONE_EACH, marks=pytest.mark.slow)],
    ids=["one_each", "rest"],
)
def test_an_export_is_the_same_model_in_transformers(names: Set[str], tmp_path: Path) -> None:
    configs, folders = [], []
    for number, name in enumerate(sorted(names)):
        config = write(tmp_path / f"{number}", name, MODELS[name])
        config.deepspeed, config.cluster = DeepSpeedConfig(stage=3), ClusterConfig(ranks_per_node=2)
        configs.append(config)
        folders.append(tmp_path / f"{number}-exported")
    run_ranks(2, export_all, configs, folders)
    ids = torch.from_numpy(rows()[0].ids).long()[None]
    for config, folder in zip(configs, folders, strict=True):
        base: Any = AutoModelForCausalLM.from_pretrained(config.model.path, dtype=torch.bfloat16)
        again: Any = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            assert torch.equal(again(input_ids=ids).logits, base(input_ids=ids).logits), folder
        assert run_on(folder).model_problems() == [], "an export can be trained again"
