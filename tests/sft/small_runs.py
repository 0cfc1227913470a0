"""Whole runs in warm ranks: a tokenizer of bytes, a random model of two layers, short rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.model import Init, ModelConfig
from pacos.configs.stage import RunConfig
from pacos.distributed import World
from pacos.model.shape import ModelShape
from pacos.run.open import open_run
from pacos.run.program import live
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.data import DataConfig
from sft.configs.optimizer import OptimizerConfig
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.ranks import run_ranks

SHAPE = ModelShape(
    vocab_size=259,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=256,
)

ROWS = 40
MARKED = 7
"""Number of the row whose text holds the mark that plants look for."""
MARK = "~"

Plant = Callable[[], AbstractContextManager[None]]
"""What is made different in every rank while it trains."""


def model_folder(folder: Path) -> Path:
    """A folder with a tokenizer and a config, and without weights."""
    from transformers import LlamaConfig

    byte_tokenizer().save_pretrained(folder)
    LlamaConfig(**SHAPE.settings()).save_pretrained(folder)
    return folder


def write_rows(path: Path) -> Path:
    with path.open("w") as file:
        for number in range(1, ROWS + 1):
            mark = MARK if number == MARKED else ""
            # No two rows are the same, and their lengths repeat.
            asked = f"Count to {number % 9}{mark}{'.!?;:'[number // 9]}"
            answer = " ".join(map(str, range(number % 9 + 1)))
            row = {"instruction": asked, "output": answer, "lineage": {"terms": "CC0-1.0"}}
            file.write(json.dumps(row) + "\n")
    return path


def small_config(folder: Path, name: str, **changes: Any) -> SFTConfig:
    """A run of 4 steps an epoch. Its model and its rows lie in `folder`, where it lies too."""
    if not (folder / "rows.jsonl").exists():
        model_folder(folder / "model")
        write_rows(folder / "rows.jsonl")
    model = ModelConfig(
        name="small",
        path=str(folder / "model"),
        init=Init.random,
        pad_token="<|endoftext|>",
        license="MIT",
        shape=SHAPE,
    )
    config = SFTConfig(
        run=RunConfig(name=name, root=str(folder / "runs")),
        model=model,
        data=DataConfig(path=str(folder / "rows.jsonl"), max_length=128),
        batch=BatchConfig(tokens=512),
        optimizer=OptimizerConfig(lr=3e-3),
        cluster=ClusterConfig(device=Device.cpu),
        epochs=1,
    )
    return dataclasses.replace(config, **changes)


def train(
    size: int, configs: Sequence[SFTConfig], plants: Sequence[Plant] = ()
) -> list[tuple[RunPaths, int]]:
    """Train one after another in the same ranks; returns each run and its exit code."""
    configs = [
        dataclasses.replace(
            config, cluster=dataclasses.replace(config.cluster, ranks_per_node=size)
        )
        for config in configs
    ]
    runs = [open_run(config) for config in configs]
    codes, *_ = run_ranks(size, train_here, configs, [run.path for run in runs], list(plants))
    return list(zip(runs, codes, strict=True))


def train_here(configs: list[SFTConfig], paths: list[Path], plants: list[Plant]) -> list[int]:
    """In each rank: train one after another; returns the exit codes."""
    from sft.engine.device import choose_device
    from sft.finetune import finetune

    world, codes = World.from_env(), []
    for number, (config, path) in enumerate(zip(configs, paths, strict=True)):
        choose_device(config.cluster)
        run = RunPaths(path)
        with plants[number]() if plants else nullcontext():
            request = StopRequest(run.stop)
            work = partial(finetune, config, run, world, request)
            codes.append(live(run, world, work, fruitless_lives=config.health.fruitless_lives))
    return codes
