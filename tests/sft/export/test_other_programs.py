"""Exported models in transformers 4, vLLM and llama.cpp's converter, beside transformers 5."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sft.export.gguf import CONVERTER, convert
from tests.environments import llama_cpp, transformers_4, vllm
from tests.sft.export.outside import in_transformers
from tests.sft.export.small_models import KINDS, SAMPLING, export_small, small_model

pytestmark = pytest.mark.external

OUTSIDE = Path(in_transformers.__file__).parent
IN_VLLM = ("llama1", "llama3", "tied", "yarn", "biases", "head_dim", "mistral", "qwen2", "qwen3")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: export_small(root, kind, small_model(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def here(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the installed transformers makes of them."""
    return loaded(sys.executable, models, tmp_path_factory.mktemp("here") / "found.pt", {})


def loaded(
    python: str, models: Mapping[str, Path], out: Path, environment: Mapping[str, str]
) -> dict[str, Any]:
    outside(python, "in_transformers.py", out, models.values(), environment)
    found = torch.load(out)
    return {"version": found["version"], **{kind: found[str(models[kind])] for kind in models}}


def outside(
    python: str, program: str, out: Path, folders: Any, environment: Mapping[str, str]
) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(OUTSIDE / program), str(out), *map(str, folders)],
        env={**plain, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_transformers_4_computes_and_writes_the_same(
    models: dict[str, Path], here: dict[str, Any], tmp_path: Path
) -> None:
    path = str(transformers_4())
    there = loaded(sys.executable, models, tmp_path / "found.pt", {"PYTHONPATH": path})
    assert there.pop("version").startswith("4.56")
    for kind, found in there.items():
        assert not found["missing"], kind
        difference = (found.pop("logits") - here[kind]["logits"]).abs().max()
        print(f"{kind}: logits differ by {difference:.1e}")
        assert difference < 1e-5, kind
        same = {key: value for key, value in here[kind].items() if key != "logits"}
        assert found == same, kind


@pytest.mark.parametrize("kind", IN_VLLM)
def test_vllm_gives_the_same_log_probabilities(
    models: dict[str, Path], here: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "found.json"
    outside(str(vllm()), "in_vllm.py", out, [models[kind]], {})
    found = json.loads(out.read_text())
    expected = here[kind]["logits"].log_softmax(-1)
    worst = 0.0
    for position, top in enumerate(found["top"]):
        own = expected[position].topk(20)
        assert set(own.indices.tolist()) == set(map(int, top)), position
        differences = [abs(expected[position, int(t)].item() - p) for t, p in top.items()]
        worst = max(worst, *differences)
    print(f"{kind}: log-probabilities differ by {worst:.1e} nats")
    assert worst < 1e-3
    assert found["sampling"] == [SAMPLING["temperature"], SAMPLING["top_p"]]
    tokenizer = AutoTokenizer.from_pretrained(models[kind])
    assert tokenizer.decode(found["chat"]) == here[kind]["chat"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "linear"])
def test_llama_cpp_converts_every_kind(
    models: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf import GGUFReader

    monkeypatch.setenv("LLAMA_CPP", str(llama_cpp()))
    file = convert(OUTSIDE / "in_converter.py", models[kind], "fp32")
    reader: Any = GGUFReader(file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    config = json.loads((models[kind] / "config.json").read_text())
    name = facts["general.architecture"]
    assert facts[f"{name}.rope.freq_base"] == config["rope_theta"]
    assert facts["tokenizer.chat_template"] == (models[kind] / "chat_template.jinja").read_text()
    assert facts["tokenizer.ggml.eos_token_id"] == config["eos_token_id"][0]
    assert facts["general.sampling.temp"] == pytest.approx(SAMPLING["temperature"])
    tensors = {tensor.name for tensor in reader.tensors}
    assert ("output.weight" in tensors) != config["tie_word_embeddings"]
    if kind == "llama3":
        assert "rope_freqs.weight" in tensors
    if kind == "yarn":
        assert facts["llama.rope.scaling.type"] == "yarn"
        assert facts["llama.rope.scaling.factor"] == 4.0
    if name == "llama":
        _assert_same_weights(file, models[kind])


def test_llama_cpp_knows_a_published_tokenizer(tmp_path: Path, tokenizer: Any) -> None:
    from gguf import GGUFReader

    model = small_model("llama1", vocab_size=len(tokenizer))
    folder = export_small(tmp_path, "llama1", model, tokenizer=tokenizer)
    reader: Any = GGUFReader(convert(llama_cpp() / CONVERTER, folder, "fp32"))
    facts = {name: field.contents() for name, field in reader.fields.items()}
    assert facts["tokenizer.ggml.pre"] == "smollm"
    tokens = facts["tokenizer.ggml.tokens"]
    vocabulary = tokenizer.get_vocab()
    assert all(tokens[number] == token for token, number in vocabulary.items())


def _assert_same_weights(file: Path, model: Path) -> None:
    from transformers import GgufConfig

    options: Any = {"gguf_file": file.name, "quantization_config": GgufConfig(dequantize=True)}
    read = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **options)
    own = AutoModelForCausalLM.from_pretrained(model).state_dict()
    found = read.state_dict()
    for name, weight in own.items():
        if name in found:
            assert torch.equal(found[name], weight), name
    assert len(own.keys() & found.keys()) >= 20
