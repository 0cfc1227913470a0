"""The model to train."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import deepspeed
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.initialization import no_init_weights
from transformers.utils import GENERATION_CONFIG_NAME

from pacos.configs.shared import Init
from pacos.distributed import World
from pacos.model.loading import model_directory
from pacos.seeds import derived_seed
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.engine.deepspeed import deepspeed_config, load_offload_op
from sft.model import cpu_bf16
from sft.model.activation_checkpointing import set_checkpointing
from sft.model.attention_check import choose_attention
from sft.model.loss import teach_loss
from sft.model.sequence_parallel import SequenceGroup
from sft.model.weights import load_weights

log = logging.getLogger(__name__)

DTYPES = {
    Precision.bf16: torch.bfloat16,
    Precision.bf16_states: torch.bfloat16,
    Precision.fp32: torch.float32,
}


def build_model(config: SFTConfig, tokenizer: Any, device: torch.device) -> Any:
    """Load or draw the weights, ready to train on `device`; every rank calls it.

    Under ZeRO-3 each rank holds its part of every parameter from the beginning.

    Raises:
        UserError: the weights cannot be used, or attention fails its proof.
    """
    load_offload_op(config.deepspeed)
    dtype, world = DTYPES[config.precision], World.from_env()
    sequence = SequenceGroup.of(world, config.deepspeed.sequence_ranks)
    attention = choose_attention(config.attention, config.model.shape, device, dtype, sequence)
    if config.model.init is Init.random:
        model = _random_model(config, tokenizer, device)
    else:
        model = _pretrained_model(config, tokenizer, device, world)
    model.config.use_cache = False
    model.config.pad_token_id = tokenizer.pad_token_id
    attention.install(model)
    set_checkpointing(model, config.activation_checkpointing)
    if cpu_bf16.is_needed(device, dtype):
        cpu_bf16.widen(model)
    if config.compile:
        for layer in model.base_model.layers:
            # Not the whole: within checkpointing, one break of the graph would undo all of it.
            for part in layer.children():
                part.compile()
    teach_loss(model, sequence)
    return model.train()


def _pretrained_model(config: SFTConfig, tokenizer: Any, device: torch.device, world: World) -> Any:
    folder = Path(model_directory(config.model.path, config.model.revision))
    architecture = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    added = len(tokenizer) - architecture.vocab_size
    if added > 0:
        log.info(f"{added} tokens are new to {config.model.path}: embeddings start at the mean")
        architecture.vocab_size = len(tokenizer)
    divided = config.deepspeed.stage == 3
    dtype = DTYPES[config.precision]
    with ExitStack() as stack:
        stack.enter_context(no_init_weights())
        if divided:
            settings = deepspeed_config(config, accumulation=1)
            # It takes the type from the settings: one that is given counts on GPUs alone.
            stack.enter_context(deepspeed.zero.Init(config_dict_or_path=settings))
        else:
            stack.enter_context(device)
        model = AutoModelForCausalLM.from_config(architecture, dtype=dtype)
    model.tie_weights()
    _compute_buffers_again(model, device)
    if (folder / GENERATION_CONFIG_NAME).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    load_weights(model, folder, reads=world.is_main or not divided, divided=divided)
    return model


def _compute_buffers_again(model: Any, device: torch.device) -> None:
    """`zero.Init` rounds what is computed inside it: frequencies of positions would be bf16."""
    rotary = model.base_model.rotary_emb
    model.base_model.rotary_emb = type(rotary)(model.config).to(device)


def _random_model(config: SFTConfig, tokenizer: Any, device: torch.device) -> Any:
    shape = config.model.shape
    with torch.random.fork_rng(), device:
        torch.manual_seed(derived_seed(config.seed, "weights"))
        model: Any = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=max(shape.vocab_size, len(tokenizer)),
                hidden_size=shape.hidden_size,
                intermediate_size=shape.intermediate_size,
                num_hidden_layers=shape.num_hidden_layers,
                num_attention_heads=shape.num_attention_heads,
                num_key_value_heads=shape.num_key_value_heads,
                max_position_embeddings=shape.max_position_embeddings,
                tie_word_embeddings=shape.tie_word_embeddings,
            )
        )
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[config.precision])
    return model
