"""Weights from safetensors: whole or divided, grown, and what is wrong with their files."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepspeed
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pacos.configs.cluster import ClusterConfig
from pacos.configs.model import ModelConfig
from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.shape import ModelShape, shape_of
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig
from sft.engine.deepspeed import start_ranks
from sft.model.build import build_model
from sft.model.weights import INDEX, SINGLE, load_weights, weight_files
from tests.sft.ranks import run_ranks

CPU = torch.device("cpu")
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
VOCABULARY = 97


class Vocabulary:
    """What building a model asks of a tokenizer."""

    pad_token_id = 0

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def write_model(folder: Path, *, tied: bool = False, shard: str = "12KB") -> Path:
    torch.manual_seed(0)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        **SIZES,
        **heads,
    )
    model: Any = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = [5, 6]
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def config_of(folder: Path, stage: int, precision: Precision = Precision.fp32) -> SFTConfig:
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    return SFTConfig(
        model=ModelConfig(name="small", path=str(folder), shape=shape),
        deepspeed=DeepSpeedConfig(stage=stage),
        cluster=ClusterConfig(ranks_per_node=2),
        precision=precision,
    )


def build(folder: Path, size: int, precision: Precision = Precision.fp32) -> Any:
    return build_model(config_of(folder, 0, precision), Vocabulary(size), CPU)


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_weights_are_those_that_transformers_loads(
    tmp_path: Path, tied: bool, precision: Precision
) -> None:
    folder = write_model(tmp_path / "model", tied=tied)
    assert len(weight_files(folder)) > 1
    model = build(folder, VOCABULARY, precision)
    dtype = torch.float32 if precision is Precision.fp32 else torch.bfloat16
    expected: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    found = weights_of(model)
    assert found.keys() == weights_of(expected).keys()
    for name, weight in weights_of(expected).items():
        assert torch.equal(found[name], weight), name
    frequencies = [each.model.rotary_emb.inv_freq for each in (model, expected)]
    assert torch.equal(*frequencies)
    assert model.generation_config.eos_token_id == [5, 6]


def assert_grown(found: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> None:
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        old = before[name]
        assert found[name].shape == (VOCABULARY + 3, old.shape[1])
        assert torch.equal(found[name][:VOCABULARY], old)
        mean = old.mean(dim=0).expand(3, -1)
        assert torch.allclose(found[name][VOCABULARY:], mean, rtol=0, atol=1e-7)


def test_new_tokens_start_at_the_mean(folder: Path) -> None:
    model = build(folder, VOCABULARY + 3)
    before = weights_of(AutoModelForCausalLM.from_pretrained(folder))
    assert_grown(weights_of(model), before)
    assert model.config.vocab_size == VOCABULARY + 3


def test_a_tokenizer_that_is_smaller_than_the_vocabulary_changes_nothing(folder: Path) -> None:
    assert build(folder, VOCABULARY - 9).config.vocab_size == VOCABULARY


def divided_weights(folder: Path, size: int) -> tuple[dict[str, Any], float]:
    """The weights under ZeRO-3, gathered, and the largest share of a matrix that a rank holds."""
    world = World.from_env()
    device = start_ranks(world)
    model = build_model(config_of(folder, stage=3), Vocabulary(size), device)
    share = max(
        parameter.ds_tensor.numel() / parameter.ds_numel
        for parameter in model.parameters()
        if parameter.ds_numel > 1000
    )
    with deepspeed.zero.GatheredParameters(list(model.parameters())):
        return {name: weight.numpy() for name, weight in weights_of(model).items()}, share


def test_under_zero_3_each_rank_holds_its_part_of_the_same_weights(folder: Path) -> None:
    expected = weights_of(AutoModelForCausalLM.from_pretrained(folder))
    for found, share in run_ranks(2, divided_weights, folder, VOCABULARY):
        assert share < 0.51
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            assert torch.equal(torch.from_numpy(found[name]), weight), name


def test_new_tokens_start_at_the_mean_under_zero_3_too(folder: Path) -> None:
    before = weights_of(AutoModelForCausalLM.from_pretrained(folder))
    for found, _ in run_ranks(2, divided_weights, folder, VOCABULARY + 3):
        assert_grown({name: torch.from_numpy(one) for name, one in found.items()}, before)


def test_missing_shards_are_named(folder: Path) -> None:
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(UserError, match=rf"{folder}: 1 of \d+ .* missing: {gone.name}"):
        build(folder, VOCABULARY)


def test_a_damaged_shard_is_named(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=path.name):
        build(folder, VOCABULARY)


def test_weights_of_another_format_are_not_read(folder: Path) -> None:
    for path in (*folder.glob("*.safetensors"), folder / INDEX):
        path.unlink()
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match="save_pretrained"):
        build(folder, VOCABULARY)


def test_tensors_that_are_absent_or_of_another_shape_are_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", shard="1GB")
    whole = load_file(folder / SINGLE)
    norm = whole.pop("model.norm.weight")
    save_file(whole, folder / SINGLE)
    with pytest.raises(UserError, match=r"no file holds model\.norm\.weight"):
        build(folder, VOCABULARY)
    save_file({**whole, "model.norm.weight": norm[:7].clone()}, folder / SINGLE)
    with pytest.raises(UserError, match=r"model\.norm\.weight has shape \[7\] in model"):
        build(folder, VOCABULARY)


def saved(folder: Path, change: Callable[[dict[str, Any]], Any], **config: Any) -> Path:
    """A model whose tensors and config.json are changed in place."""
    write_model(folder, shard="1GB")
    whole = load_file(folder / SINGLE)
    change(whole)
    save_file(whole, folder / SINGLE)
    before = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**before, **config}))
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_blamed_on_their_file(tmp_path: Path, value: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    folder = saved(tmp_path, lambda whole: whole[name][3, 1:3].fill_(value))
    with pytest.raises(UserError, match=rf"{SINGLE}: 2 of 1536 values of {name} are NaN"):
        build(folder, VOCABULARY)


def test_layers_that_config_json_does_not_have_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path, lambda whole: None, num_hidden_layers=1)
    said = rf"{SINGLE} holds model\.layers\.1\.input_layernorm\.weight, .* and 6 more, which the"
    with pytest.raises(UserError, match=said):
        build(folder, VOCABULARY)


def test_a_tied_model_with_a_head_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, lambda whole: None, tie_word_embeddings=True)
    with pytest.raises(UserError, match=r"holds lm_head\.weight, which differs from model\.embed"):
        build(folder, VOCABULARY)


def test_a_tied_model_may_hold_its_head_twice(tmp_path: Path) -> None:
    def copy(whole: dict[str, Any]) -> None:
        whole["lm_head.weight"] = whole["model.embed_tokens.weight"].clone()

    assert build(saved(tmp_path, copy, tie_word_embeddings=True), VOCABULARY) is not None


def test_weights_in_integers_are_refused(tmp_path: Path) -> None:
    def pack(whole: dict[str, Any]) -> None:
        del whole["model.layers.0.mlp.up_proj.weight"]
        whole["model.layers.0.mlp.up_proj.qweight"] = torch.zeros(4, 48, dtype=torch.int32)

    folder = saved(tmp_path, pack)
    with pytest.raises(UserError, match=r"up_proj\.qweight as I32: the weights are quantized"):
        build(folder, VOCABULARY)


def test_the_same_tensor_in_two_files_is_refused(folder: Path) -> None:
    first, second, *_ = sorted(folder.glob("*.safetensors"))
    save_file({**load_file(second), **load_file(first)}, second)
    with pytest.raises(UserError, match=f"both {first.name} and {second.name} hold"):
        build(folder, VOCABULARY)


def test_a_larger_vocabulary_than_the_config_says_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": VOCABULARY - 1}))
    with pytest.raises(UserError, match="mixes two models"):
        build(folder, VOCABULARY - 1)


def test_old_files_with_frequencies_of_positions_load(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", shard="1GB")
    whole = load_file(folder / SINGLE)
    whole["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(whole, folder / SINGLE)
    model = LlamaForCausalLM.from_pretrained(folder)
    load_weights(model, folder, reads=True, divided=False)


class PeakAnonymous:
    """Most memory of this process that is no mapped file, over a time."""

    def __enter__(self) -> PeakAnonymous:
        self.first = self.peak = self._now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
        return 1024 * (int(found["RssAnon"]) + int(found["RssShmem"]))


def middle_shape(layers: int) -> ModelShape:
    """In bf16 34 MB a layer; the largest matrix is 8 MB."""
    return ModelShape(
        vocab_size=2000,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
    )


MMAP_THRESHOLD = -3
"""Number of the option in malloc.h."""


def peak_of_loading(folder: Path, layers: int, stage: int) -> int:
    world = World.from_env()
    device = start_ranks(world)
    config = config_of(folder, stage, Precision.bf16)
    config.model.shape = middle_shape(layers)
    # Whatever is freed goes back at once: the holes that malloc keeps are no part of the model.
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 65_536)
    with PeakAnonymous() as memory:
        model = build_model(config, Vocabulary(config.model.shape.vocab_size), device)
    assert model is not None
    return memory.peak - memory.first


@pytest.mark.slow
def test_under_zero_3_no_process_ever_holds_the_whole_model(tmp_path: Path) -> None:
    """Twelve more layers cost a rank of two half of what they weigh; scratch memory is small."""
    peaks = {}
    for layers in (12, 24):
        config = LlamaConfig(**middle_shape(layers).settings())
        folder = tmp_path / str(layers)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size="100MB")
        peaks[layers] = run_ranks(2, peak_of_loading, folder, layers, 3)
    weigh = 2 * (middle_shape(24).num_parameters() - middle_shape(12).num_parameters())
    for fewer, more in zip(peaks[12], peaks[24], strict=True):
        assert more - fewer < 0.52 * weigh
        assert more < 0.6 * 2 * middle_shape(24).num_parameters()
    for peak in run_ranks(2, peak_of_loading, tmp_path / "12", 12, 2):
        assert peak > 0.95 * 2 * middle_shape(12).num_parameters()
