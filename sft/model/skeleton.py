"""The architecture of a run's model, and the model without weights. Free of DeepSpeed."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import GENERATION_CONFIG_NAME

from pacos.configs.model import Init, ModelConfig
from pacos.model.architectures import ARCHITECTURES
from pacos.model.hub import TOKENIZER_FILES
from pacos.model.loading import model_directory
from pacos.model.protocols import CausalLM, Tokenizer

log = logging.getLogger(__name__)


def architecture_of(model: ModelConfig, tokenizer: Tokenizer) -> PreTrainedConfig:
    """Return the config of the model that is trained, with a row for each token of the tokenizer.

    Raises:
        UserError: the base model's files cannot be obtained.
    """
    if model.init is Init.random:
        shape, family = model.shape, ARCHITECTURES[model.shape.model_type]
        settings = shape.settings() | {"vocab_size": max(shape.vocab_size, len(tokenizer))}
        # A window counts in families that have one: rows are not limited by it here.
        settings |= dict.fromkeys(family.window.keys() & {"sliding_window"})
        drawn: PreTrainedConfig = AutoConfig.for_model(shape.model_type.value, **settings)
        return drawn
    # Code from a model's repository is never run.
    architecture = AutoConfig.from_pretrained(_small_files(model), trust_remote_code=False)
    added = len(tokenizer) - architecture.vocab_size
    if added > 0:
        log.info(f"{added} tokens are new to {model.path}: embeddings start at the mean")
        architecture.vocab_size = len(tokenizer)
    return architecture


def take_generation_config(causal: CausalLM, model: ModelConfig) -> None:
    """Give a model the base model's own stop tokens and sampling defaults, if it has any."""
    if model.init is Init.pretrained:
        folder = _small_files(model)
        if (folder / GENERATION_CONFIG_NAME).is_file():
            causal.generation_config = GenerationConfig.from_pretrained(folder)


def build_skeleton(model: ModelConfig, tokenizer: Tokenizer) -> CausalLM:
    """Return the model with the names and shapes of its parameters, but no memory for them.

    Raises:
        UserError: the base model's files cannot be obtained.
    """
    architecture = architecture_of(model, tokenizer)
    with torch.device("meta"):
        causal: CausalLM = AutoModelForCausalLM.from_config(architecture)
    causal.tie_weights()
    take_generation_config(causal, model)
    return causal


def _small_files(model: ModelConfig) -> Path:
    return Path(model_directory(model.path, model.revision, patterns=TOKENIZER_FILES))
