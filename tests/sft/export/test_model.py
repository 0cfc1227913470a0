"""The exported model: whole, the same from every engine, loaded by others, safe from a crash."""

from __future__ import annotations

import dataclasses
import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pacos.configs.model import Init
from pacos.distributed import World
from pacos.model.shape import ModelShape
from pacos.prompts.choice import prompt_text
from pacos.prompts.formats import FORMATS, PromptFormat
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig
from sft.data.tokenizer import stop_ids
from sft.engine.deepspeed import build_engine, start_ranks
from sft.export import writer
from sft.export.model import EngineWeights
from sft.export.writer import Origin, plan_shards, write_model
from sft.model.build import build_model
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.ranks import run_ranks
from tests.sft.small_runs import small_config

SHARD = 30_000
"""Bytes: the small model has 53 thousand parameters."""


def exported(config: SFTConfig, folder: Path, shard: int) -> int:
    """Export an engine's model without training it; returns by how much that raised the peak."""
    writer.SHARD_BYTES = shard
    world = World.from_env()
    device = start_ranks(world)
    tokenizer = byte_tokenizer()
    engine = build_engine(build_model(config, tokenizer, device), config, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights = EngineWeights(engine, config.deepspeed.stage, world)
    origin = Origin(run="run", identity="i", data="d", step=0, dtype="bf16")
    write_model(folder, engine.module, weights, tokenizer, config, "# card\n", origin, world=world)
    engine.destroy()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def export_all(configs: list[SFTConfig], folders: list[Path]) -> None:
    for config, folder in zip(configs, folders, strict=True):
        exported(config, folder, SHARD)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same random model, out of engines of 1 and 2 ranks."""
    root = tmp_path_factory.mktemp("export")
    config = small_config(root, "run")
    done = []
    for size, stages in ((1, [0, 3]), (2, [2, 3])):
        configs = [
            dataclasses.replace(config, deepspeed=DeepSpeedConfig(stage=stage), precision=precision)
            for stage in stages
            for precision in (Precision.fp32, Precision.bf16)
        ]
        paths = [root / f"{size}-{index}" for index in range(len(configs))]
        run_ranks(size, export_all, configs, paths)
        done += paths
    return done


def test_every_engine_exports_the_same_files(folders: list[Path]) -> None:
    first, *others = folders
    names = {path.name for path in first.iterdir()}
    assert "model-00001-of-00003.safetensors" in names
    for other in others:
        assert {path.name for path in other.iterdir()} == names
        for name in names:
            assert (other / name).read_bytes() == (first / name).read_bytes(), name


def test_shards_are_whole_and_none_is_too_large(folders: list[Path]) -> None:
    folder = folders[-1]
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    found = {}
    for file in folder.glob("*.safetensors"):
        weights = load_file(file)
        assert all(index["weight_map"][name] == file.name for name in weights)
        size = sum(weight.nbytes for weight in weights.values())
        assert size <= SHARD or len(weights) == 1
        found.update(weights)
    assert found.keys() == index["weight_map"].keys()
    assert sum(weight.nbytes for weight in found.values()) == index["metadata"]["total_size"]
    assert {weight.dtype for weight in found.values()} == {torch.bfloat16}


def test_transformers_loads_it_and_computes_with_it(folders: list[Path]) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(folders[-1])
    tokenizer = AutoTokenizer.from_pretrained(folders[-1])
    assert model.dtype is torch.bfloat16
    assert model.config.use_cache
    assert "pacos" not in (folders[-1] / "config.json").read_text()
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id == stop
    assert tokenizer.eos_token_id == stop
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id != stop
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    asked = prompt_text(
        byte_tokenizer(), PromptFormat.chatml, [{"role": "user", "content": "Hello"}]
    )
    assert text == asked
    out = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert out.shape[1] > len(tokenizer(text).input_ids)
    assert (folders[-1] / "README.md").read_text() == "# card\n"


def test_marks_of_training_stay_out_of_the_chat_template(folders: list[Path]) -> None:
    assert "generation %" not in AutoTokenizer.from_pretrained(folders[0]).chat_template
    assert "generation %" in FORMATS[PromptFormat.chatml].template


def test_every_id_that_ends_an_answer_is_named(tmp_path: Path) -> None:
    tokenizer, config = byte_tokenizer(), small_config(tmp_path, "run")
    stop, other = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])

    class Model:
        generation_config = GenerationConfig(eos_token_id=[other, stop])

    assert stop_ids(config, tokenizer, Model()) == [stop]
    config.model.init = Init.pretrained
    assert stop_ids(config, tokenizer, Model()) == [stop, other]
    tokenizer.eos_token = "<|im_start|>"
    assert stop_ids(config, tokenizer, Model()) == [stop, tokenizer.eos_token_id, other]


def test_shards_are_filled_in_order() -> None:
    sizes = {"a": 4, "b": 5, "c": 1, "d": 30, "e": 2, "f": 8}
    assert plan_shards(sizes, limit=10) == [["a", "b", "c"], ["d"], ["e", "f"]]


def die_in_the_second_file(config: SFTConfig, folder: Path) -> str:
    """What a run ends with whose disk is full halfway."""
    plain, written = writer.save_file, []

    def save_file(weights: Any, path: Path, **options: Any) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError("No space left on device")
        plain(weights, path, **options)

    writer.save_file = save_file
    try:
        exported(config, folder, SHARD)
    except OSError as error:
        return str(error)
    finally:
        writer.save_file = plain
    return "nothing"


def test_an_export_that_dies_leaves_the_model_before_it_and_is_made_again(tmp_path: Path) -> None:
    config, folder = small_config(tmp_path, "run"), tmp_path / "model-out"
    run_ranks(1, export_all, [config], [folder])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = dataclasses.replace(config, seed=7)
    assert run_ranks(1, die_in_the_second_file, other, folder) == ["No space left on device"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    run_ranks(1, export_all, [other], [folder])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.keys() == before.keys()
    assert after["model-00001-of-00003.safetensors"] != before["model-00001-of-00003.safetensors"]
    assert not list(tmp_path.glob("*.tmp"))


LARGE = ModelShape(
    vocab_size=32_000,
    hidden_size=1024,
    intermediate_size=2816,
    num_hidden_layers=16,
    num_attention_heads=16,
    num_key_value_heads=16,
    max_position_embeddings=256,
)
"""265 million parameters, 530 MB in bf16."""


@pytest.mark.slow
def test_memory_grows_by_a_file_and_not_by_the_model(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, "run", deepspeed=DeepSpeedConfig(stage=3), precision=Precision.bf16_states
    )
    config.model.shape = LARGE
    shard = 2 * 1024 * 32_000 + 1
    grown = run_ranks(2, exported, config, tmp_path / "model-out", shard)
    model = 2 * LARGE.num_parameters()
    print(f"{model / 2**20:.0f} MiB: {[round(bytes_ / 2**20) for bytes_ in grown]} MiB more")
    assert grown[0] < 4 * shard < model
    assert grown[1] < 2 * shard


@pytest.mark.slow
def test_the_harness_scores_it(folders: list[Path]) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=str(folders[-1]), device="cpu", batch_size=1)
    asked = Instance("loglikelihood", {}, ("Count to 3.", " 1 2 3"), 0)
    ((score, greedy),) = harness.loglikelihood([asked], disable_tqdm=True)
    assert -200 < score < 0
    assert greedy is False
