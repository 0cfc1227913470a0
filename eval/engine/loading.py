"""Load a model for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from eval.config import EvalConfig, Precision
from eval.engine.generation import end_token_ids
from eval.engine.lm import SharedPrefixLM
from eval.engine.rank_workers import RankWorkers
from pacos.configs.cluster import Device
from pacos.distributed import World
from pacos.errors import UserError, first_line
from pacos.model.loading import model_directory, published_tokenizer
from pacos.model.paths import exported_model
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.choice import stop_token_id
from pacos.prompts.formats import FORMATS, PromptFormat, read_template

DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}


def load_directory(path: str) -> str:
    """Return what transformers can load for a target: for a run, its exported model."""
    return str(exported_model(path) or model_directory(path, key="target"))


def build_lm(
    path: str,
    config: EvalConfig,
    workers: RankWorkers | None = None,
    digests: Mapping[str, str] | None = None,
) -> SharedPrefixLM:
    """Load a model and its tokenizer.

    Args:
        path: a model directory, a run, a hub id or an embedded model.
        config: precision, prompt format, batch sizes.
        workers: all ranks, each of which loads the model; None for this process alone.
        digests: sha256 of the model's files, if they are known.

    Raises:
        UserError: there is no such model or GPU, or its tokenizer lacks a template or stop token.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if config.cluster.threads_per_rank is not None:
        torch.set_num_threads(config.cluster.threads_per_rank)
    world = World.from_env()
    device = _device(config.cluster.device, world)
    try:
        model = cast(
            "CausalLM",
            transformers.AutoModelForCausalLM.from_pretrained(
                load_directory(path),
                dtype=DTYPES[config.precision],
                # HFLM's own code, which the certificate compares with, runs on this attention.
                attn_implementation="sdpa",
                trust_remote_code=False,
            ),
        )
        tokenizer = published_tokenizer(Path(load_directory(path)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be loaded: {first_line(error)}") from error
    _set_format(model, tokenizer, path, config)
    return SharedPrefixLM(
        model.to(device),
        tokenizer,
        workers or RankWorkers(world),
        batch_size=config.batch_size,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
        digests=digests,
    )


def _device(wanted: Device, world: World) -> torch.device:
    if wanted is Device.cuda and not torch.cuda.is_available():
        raise UserError("cluster.device = cuda: torch sees no GPU here; use cluster.device=cpu")
    use_cuda = wanted is not Device.cpu and torch.cuda.is_available()
    return torch.device("cuda", world.local_rank) if use_cuda else torch.device("cpu")


def _set_format(model: CausalLM, tokenizer: Tokenizer, path: str, config: EvalConfig) -> None:
    """Render prompts in the configured format, and end generation at its stop token."""
    if config.chat_template is not None:
        tokenizer.chat_template = read_template(config.chat_template)
    if config.prompt_format is None and config.chat_template is None:
        if config.suite.chat_template and tokenizer.chat_template is None:
            formats = ", ".join(PromptFormat.__members__)
            raise UserError(
                f"prompt_format = null: {path} has no chat template of its own, which suite "
                f"{config.suite.name} needs; choose one of: {formats}"
            )
        return
    if config.prompt_format is not None:
        tokenizer.chat_template = FORMATS[config.prompt_format].exported()
    # A base model's generation config does not name the stop token of the format.
    stop = stop_token_id(tokenizer, config.prompt_format)
    model.generation_config.eos_token_id = sorted({stop, *end_token_ids(model)})
