"""The writer of a model directory, whatever its weights come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file

from pacos.distributed import World
from pacos.files import atomic_folder, atomic_write, read_json, sha256, write_json
from pacos.identity import identity
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.choice import format_of
from pacos.run.stop import NEVER_STOP, StopCheck
from pacos.run_paths import ORIGIN, RunPaths
from sft.config import SFTConfig
from sft.configs.export import ExportDtype
from sft.data.tokenizer import stop_ids
from sft.export.metadata import write_metadata

SHARD_BYTES = 4 * 2**30
"""Bytes of a file, and so of the writer's host memory; a larger tensor has a file to itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The weights that a model was made from, and how."""

    run: str
    """Name of the run."""
    identity: str
    """Identity of the run's config."""
    data: str
    """Digest of the rows trained on."""
    step: int
    dtype: str
    """`bf16` or `fp32`."""
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    """SHA-256 of each file of weights."""

    @classmethod
    def of_run(
        cls,
        config: SFTConfig,
        run: RunPaths,
        data: str,
        step: int,
        dtype: str = ExportDtype.bf16.value,
    ) -> Origin:
        """Return the origin of a model that is about to be made from a run."""
        name, own = run.path.name, identity(config)
        return cls(run=name, identity=own, data=data, step=step, dtype=dtype)

    @classmethod
    def read(cls, folder: Path) -> Origin | None:
        """Return what a complete model directory was made from; None of any other folder."""
        try:
            return cls(**read_json(folder / ORIGIN))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it into a model directory."""
        write_json(folder / ORIGIN, dataclasses.asdict(self))


DTYPES = {ExportDtype.bf16.value: torch.bfloat16, ExportDtype.fp32.value: torch.float32}


class Weights(Protocol):
    """The weights of a model, read one after another."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Elements of each parameter, in the order in which they are written."""
        ...

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor | None:
        """Return a whole parameter in host memory; None on ranks that write nothing.

        Every rank calls it for the same parameters in the same order.
        """
        ...


def write_model(
    folder: Path,
    model: CausalLM,
    weights: Weights,
    tokenizer: Tokenizer,
    config: SFTConfig,
    card: str,
    origin: Origin,
    *,
    world: World,
    stop: StopCheck = NEVER_STOP,
    replaces: bool = True,
) -> None:
    """Write safetensors, tokenizer, chat template, configs and card.

    Every rank calls it. Rank 0 writes a file as soon as it is full, and renames the directory into
    place when it is complete.

    Args:
        folder: the model directory.
        model: the model; its own parameters are not read.
        weights: its parameters.
        tokenizer: of the model.
        config: of the run.
        card: its README.md.
        origin: the weights' origin, and the number format of the files.
        world: this rank.
        stop: asked before each file; must stop every rank or none.
        replaces: replace an older model in the folder; if False there must be none.

    Raises:
        Stopped: on every rank, before one of the files.
    """
    dtype = DTYPES[origin.dtype]
    # The other ranks write no file; they take part in gathering the weights.
    writing = atomic_folder(folder, replaces=replaces) if world.is_main else nullcontext(folder)
    with writing as partial:
        digests = _write_weights(partial, weights, dtype, world, stop)
        if world.is_main:
            template = format_of(tokenizer, config.model.prompt_format).exported()
            stops = stop_ids(config, tokenizer, model)
            write_metadata(partial, model, tokenizer, stops, template, dtype)
            dataclasses.replace(origin, files=digests).write(partial)
            atomic_write(partial / "README.md", card)
    world.barrier()


def plan_shards(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Divide tensors among files, in order, each as full as `limit` allows.

    Args:
        sizes: name to bytes.
        limit: most bytes of a file; a larger tensor has a file to itself.

    Returns:
        The names in each file.
    """
    shards: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if not shards or size > room:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= size
    return shards


def _write_weights(
    folder: Path, weights: Weights, dtype: torch.dtype, world: World, stop: StopCheck
) -> dict[str, str]:
    """Write the files of weights; return their SHA-256 on rank 0."""
    sizes = {name: dtype.itemsize * count for name, count in weights.sizes.items()}
    shards = plan_shards(sizes, SHARD_BYTES)
    files, digests = {}, {}
    for names, file in zip(shards, _file_names(len(shards)), strict=True):
        stop.check()
        # Rebinding frees the tensors of the file before.
        tensors = {}
        for name in names:
            tensor = weights.read(name, dtype)
            if tensor is not None:
                tensors[name] = tensor
        if world.is_main:
            save_file(tensors, folder / file, metadata={"format": "pt"})
            files.update(dict.fromkeys(names, file))
            # Right after it was written: 3 s for a full file, which is still in memory.
            digests[file] = sha256(folder / file)
    if world.is_main and len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": files}
        write_json(folder / "model.safetensors.index.json", index)
    return digests


def _file_names(count: int) -> Sequence[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
