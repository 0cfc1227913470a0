"""The trained model as a directory that `from_pretrained`, lm-eval and vLLM load."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import deepspeed
import torch
from safetensors.torch import save_file
from transformers import GenerationConfig

from pacos.distributed import World
from pacos.files import atomic_folder, atomic_write, write_json
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.choice import format_of
from pacos.run.stop import NEVER_STOP, StopCheck
from sft.config import SFTConfig
from sft.data.tokenizer import stop_ids
from sft.engine.private_state import full_numel
from sft.engine.protocol import Engine

log = logging.getLogger(__name__)

SHARD_BYTES = 4 * 2**30
"""Bytes of a file, and so of rank 0's host memory during the export; a larger tensor has a file to
itself."""


def export_model(
    engine: Engine,
    tokenizer: Tokenizer,
    config: SFTConfig,
    folder: Path,
    card: str,
    world: World,
    stop: StopCheck = NEVER_STOP,
) -> None:
    """Write consolidated bf16 safetensors, tokenizer, chat template, generation config and card.

    Every rank must call it: under ZeRO-3 each parameter is gathered from all ranks. Rank 0 writes a
    file as soon as it is full, and renames the directory into place when it is complete.

    Args:
        engine: DeepSpeed's engine.
        tokenizer: of the model.
        config: of the run.
        folder: the model directory.
        card: its README.md.
        world: this rank.
        stop: asked before each file; must stop every rank or none.

    Raises:
        Stopped: on every rank, before one of the files. The checkpoint of the last step exists by
            then, and the next life exports again.
    """
    # The other ranks write no file; they take part in gathering the weights.
    writing = atomic_folder(folder, replaces=True) if world.is_main else nullcontext(folder)
    with writing as partial:
        _write_weights(engine, partial, config.deepspeed.stage, world, stop)
        if world.is_main:
            stops = stop_ids(config, tokenizer, engine.module)
            _write_configs(engine.module, tokenizer, stops, partial)
            tokenizer = copy.deepcopy(tokenizer)
            # Many programs stop at the tokenizer's eos_token alone, without reading eos_token_id.
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stops[0])
            tokenizer.chat_template = format_of(tokenizer, config.model.prompt_format).exported()
            tokenizer.save_pretrained(partial)
            atomic_write(partial / "README.md", card)
    if world.is_main:
        log.info("model exported to %s", folder)
    world.barrier()


def _write_configs(model: CausalLM, tokenizer: Tokenizer, stops: list[int], folder: Path) -> None:
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": stops if len(stops) > 1 else stops[0],
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = copy.deepcopy(model.config)
    # Training turned use_cache off; generation needs it.
    config.update({**ids, "use_cache": True, "architectures": [type(model).__name__]})
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    GenerationConfig(**ids).save_pretrained(folder)


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


def _write_weights(engine: Engine, folder: Path, stage: int, world: World, stop: StopCheck) -> None:
    parameters = dict(engine.module.named_parameters())
    sizes = {name: 2 * full_numel(parameter) for name, parameter in parameters.items()}
    shards = plan_shards(sizes, SHARD_BYTES)
    files = {}
    for names, file in zip(shards, _file_names(len(shards)), strict=True):
        stop.check()
        # Rebinding frees the tensors of the file before.
        weights = {}
        for name in names:
            with deepspeed.zero.GatheredParameters([parameters[name]], enabled=stage == 3):
                if world.is_main:
                    full = parameters[name].detach()
                    # ZeRO-3 frees a gathered parameter when the context ends, so it is copied;
                    # without ZeRO-3, a copy on the CPU would double the model's memory.
                    weights[name] = full.to("cpu", torch.bfloat16, copy=stage == 3).contiguous()
        if world.is_main:
            save_file(weights, folder / file, metadata={"format": "pt"})
            files.update(dict.fromkeys(names, file))
    if world.is_main and len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": files}
        write_json(folder / "model.safetensors.index.json", index)


def _file_names(count: int) -> Sequence[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
