"""The model to train: architecture, weights, attention, loss."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import deepspeed
import torch
from transformers import AutoModelForCausalLM
from transformers.initialization import no_init_weights

from pacos.configs.model import Init
from pacos.distributed import World
from pacos.model.hub import TOKENIZER_FILES
from pacos.model.loading import model_directory
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.model.trainable import require_trainable, unknown_keys
from pacos.seeds import derived_seed
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.engine.deepspeed import deepspeed_config, load_offload_op
from sft.model.activation_checkpointing import set_checkpointing
from sft.model.attention_check import choose_attention
from sft.model.cpu_bf16 import install_wide_linear, is_needed
from sft.model.loss import install_loss
from sft.model.sequence_parallel import SequenceGroup
from sft.model.skeleton import architecture_of, take_generation_config
from sft.model.weights import load_weights

log = logging.getLogger(__name__)

DTYPES = {
    Precision.bf16: torch.bfloat16,
    Precision.bf16_states: torch.bfloat16,
    Precision.fp32: torch.float32,
}
"""Number format of the working weights. The optimizer's own copy may be wider."""


def build_model(config: SFTConfig, tokenizer: Tokenizer, device: torch.device) -> CausalLM:
    """Load or draw the weights, and make the model ready to train on `device`.

    Every rank calls it. Under ZeRO-3 each rank holds only its part of every parameter, from the
    beginning: a 70B model exists nowhere as a whole.

    Raises:
        UserError: the architecture is not supported, the weights cannot be used, or attention fails
            its check.
    """
    load_offload_op(config.deepspeed)
    # First of all, because downloading and reading the weights of a large model takes many minutes.
    if config.model.init is Init.pretrained:
        _require_supported(config)
    dtype, world = DTYPES[config.precision], World.from_env()
    sequence = SequenceGroup.of(world, config.deepspeed.sequence_ranks)
    attention = choose_attention(config.attention, config.model.shape, device, dtype, sequence)
    if config.model.init is Init.random:
        model = _random_model(config, tokenizer, device)
    else:
        model = _pretrained_model(config, tokenizer, device, world)
    # The default, True, would mix packed documents in any call that leaves use_cache out: with a
    # cache, transformers does not look for packing.
    model.config.use_cache = False
    model.config.pad_token_id = tokenizer.pad_token_id
    attention.install(model)
    set_checkpointing(model, config.activation_checkpointing)
    if is_needed(device, dtype):
        install_wide_linear(model)
    if config.compile:
        for layer in model.base_model.layers:
            # Not the layer as one graph: within activation checkpointing, a single graph break
            # would discard all of it.
            for part in layer.children():
                part.compile()
    install_loss(model, sequence)
    model.train()
    return model


def _require_supported(config: SFTConfig) -> None:
    """Refuse a model that pacos would train wrongly."""
    model = config.model
    folder = Path(model_directory(model.path, model.revision, patterns=TOKENIZER_FILES))
    require_trainable(folder, model.path, model.shape, config.data.max_length)
    unknown = unknown_keys(folder)
    if unknown:
        log.warning(
            f"{model.path}: transformers ignores {', '.join(unknown)} in config.json; the loss is "
            "wrong if the model was trained with code that does not"
        )


def _pretrained_model(
    config: SFTConfig, tokenizer: Tokenizer, device: torch.device, world: World
) -> CausalLM:
    folder = Path(model_directory(config.model.path, config.model.revision))
    architecture = architecture_of(config.model, tokenizer)
    is_divided = config.deepspeed.stage == 3
    dtype = DTYPES[config.precision]
    with ExitStack() as stack:
        # Every parameter is read from a file, so drawing random ones first would be wasted time.
        stack.enter_context(no_init_weights())
        if is_divided:
            settings = deepspeed_config(config, accumulation=1)
            # The dtype comes from the settings: zero.Init heeds its own argument on GPUs only.
            stack.enter_context(deepspeed.zero.Init(config_dict_or_path=settings))
        else:
            stack.enter_context(device)
        model: CausalLM = AutoModelForCausalLM.from_config(architecture, dtype=dtype)
    model.tie_weights()
    _recompute_buffers(model, device)
    take_generation_config(model, config.model)
    load_weights(model, folder, reads=world.is_main or not is_divided, divided=is_divided)
    return model


def _recompute_buffers(model: CausalLM, device: torch.device) -> None:
    """Compute the rotary frequencies in fp32.

    `zero.Init` rounds what is computed inside it to bf16. A frequency that is off by 0.2 % rotates
    a token at position 1,000 by up to 2 rad too far.
    """
    rotary = model.base_model.rotary_emb
    model.base_model.rotary_emb = type(rotary)(model.config).to(device)


def _random_model(config: SFTConfig, tokenizer: Tokenizer, device: torch.device) -> CausalLM:
    architecture = architecture_of(config.model, tokenizer)
    with torch.random.fork_rng(), device:
        torch.manual_seed(derived_seed(config.seed, "weights"))
        model: Any = AutoModelForCausalLM.from_config(architecture, dtype=torch.float32)
    # Drawn in fp32 and rounded: every precision starts from the same weights. Parameters one by
    # one, because `model.to` would round the rotary frequencies too.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[config.precision])
    return model
