"""The trained model as a directory that `from_pretrained` loads."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import deepspeed
import torch
from transformers import GenerationConfig

from pacos.distributed import World
from pacos.files import atomic_write, read_json, write_json
from pacos.prompts import FORMATS, stop_token_id
from sft.config import SFTConfig

log = logging.getLogger(__name__)


def export_model(
    engine: Any, tokenizer: Any, config: SFTConfig, folder: Path, card: str, world: World
) -> None:
    """Write consolidated bf16 safetensors, tokenizer, chat template and model card.

    Every rank calls it. The directory is renamed into place when whole.
    """
    weights = _full_weights(engine, config.deepspeed.stage, world)
    if world.is_main:
        partial = folder.with_suffix(".tmp")
        shutil.rmtree(partial, ignore_errors=True)
        model = engine.module
        stop = stop_token_id(tokenizer, config.model.prompt_format)
        model.config.use_cache = True
        model.config.eos_token_id = stop
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
        )
        model.save_pretrained(partial, state_dict=weights)
        # transformers writes the number format of the weights in memory, which may be fp32.
        saved = read_json(partial / "config.json")
        write_json(partial / "config.json", {**saved, "dtype": "bfloat16"})
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stop)
        tokenizer.chat_template = FORMATS[config.model.prompt_format].exported()
        tokenizer.save_pretrained(partial)
        atomic_write(partial / "README.md", card)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        log.info("model exported to %s", folder)
    world.barrier()


def _full_weights(engine: Any, stage: int, world: World) -> dict[str, torch.Tensor]:
    """Whole bf16 parameters by name, on rank 0; empty elsewhere. ZeRO-3 gathers one at a time."""
    weights = {}
    for name, parameter in engine.module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], enabled=stage == 3):
            if world.is_main:
                weights[name] = parameter.detach().to("cpu", torch.bfloat16, copy=True)
    return weights
