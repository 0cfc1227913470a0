"""GPUs that hold a model, by its shape and their memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.integrations.accelerate import _get_device_map

from pacos.model import placement
from pacos.model.placement import gpus_needed, load_causal_lm, weight_bytes

GIB = 2**30
LLAMA_70B = LlamaConfig(
    vocab_size=128256,
    hidden_size=8192,
    intermediate_size=28672,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    LLAMA_70B.save_pretrained(tmp_path)
    return str(tmp_path)


def test_bytes_follow_from_the_shape_and_the_dtype(folder: str) -> None:
    assert weight_bytes(folder, torch.bfloat16) == 2 * 70_553_706_496
    assert weight_bytes(folder, torch.float32) == 4 * 70_553_706_496


def test_a_quantized_model_is_as_large_as_its_files(folder: str) -> None:
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "quantization_config": {"quant_method": "awq"}}))
    save_file({"a": torch.zeros(1000, dtype=torch.int8)}, Path(folder) / "model.safetensors")
    assert 1000 < weight_bytes(folder, torch.bfloat16) < 1200


@pytest.mark.parametrize(
    ("dtype", "gib", "gpus"),
    [
        (torch.bfloat16, 79.6, 2),
        (torch.bfloat16, 140.4, 2),
        (torch.bfloat16, 185.0, 1),
        (torch.bfloat16, 45.0, 4),
        (torch.float32, 79.6, 4),
    ],
)
def test_as_many_gpus_as_hold_whole_layers(
    folder: str, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, gib: float, gpus: int
) -> None:
    monkeypatch.setattr(placement, "gpu_bytes", lambda index: int(gib * GIB))
    assert gpus_needed(folder, dtype) == gpus
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LLAMA_70B, dtype=dtype)
    memory = {number: int(gib * GIB) for number in range(gpus)}
    # What from_pretrained does with the arguments of load_causal_lm.
    places = _get_device_map(model, "auto", memory, None)
    assert set(places.values()) == set(range(gpus))


def test_one_device_holds_a_small_model(tmp_path: Path) -> None:
    small = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    AutoModelForCausalLM.from_config(small).save_pretrained(tmp_path)
    model = load_causal_lm(str(tmp_path), torch.bfloat16, [torch.device("cpu")])
    assert (model.dtype, model.device.type) == (torch.bfloat16, "cpu")
