"""Load a model for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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
from pacos.model.placement import gpus_needed, load_causal_lm
from pacos.model.protocols import Tokenizer
from pacos.prompts.choice import stop_token_id
from pacos.prompts.formats import FORMATS, PromptFormat, read_template

DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}


def load_directory(path: str) -> str:
    """Return what transformers can load for a target: for a run, its exported model."""
    return str(exported_model(path) or model_directory(path, key="target"))


def copy_devices(path: str, config: EvalConfig) -> list[torch.device]:
    """Return the devices of this rank's copy of a model; none for a rank without a copy.

    A copy is spread over the GPUs of as many neighbouring ranks as its weights need, and computed
    by the first of them. The others have no work with this model.

    Args:
        path: a model directory, a run, a hub id or an embedded model.
        config: device, precision, ranks per node, and GPUs per model.

    Raises:
        UserError: there is no such model or GPU, or the GPUs of a machine's ranks do not hold it.
    """
    world, cluster = World.from_env(), config.cluster
    device = _device(cluster.device, world)
    if device.type == "cpu":
        return [device]
    try:
        needed = gpus_needed(load_directory(path), DTYPES[config.precision])
    except (OSError, ValueError) as error:
        raise _unloadable(path, error) from error
    each = config.gpus_per_model or needed
    if each > cluster.ranks_per_node:
        cheaper = " or use precision=bf16" if config.precision is Precision.fp32 else ""
        raise UserError(
            f"cluster.ranks_per_node = {cluster.ranks_per_node}: a copy of {path} takes {each} "
            f"GPUs in {config.precision.name}, one rank each; raise it{cheaper}"
        )
    copy, place = divmod(world.local_rank, each)
    if place or (copy + 1) * each > cluster.ranks_per_node:
        return []
    return [torch.device("cuda", world.local_rank + offset) for offset in range(each)]


def build_lm(
    path: str,
    config: EvalConfig,
    workers: RankWorkers | None = None,
    digests: Mapping[str, str] | None = None,
    devices: Sequence[torch.device] = (),
) -> SharedPrefixLM:
    """Load a model and its tokenizer.

    Args:
        path: a model directory, a run, a hub id or an embedded model.
        config: precision, prompt format, batch sizes.
        workers: all ranks; None for this process alone.
        digests: sha256 of the model's files, if they are known.
        devices: result of `copy_devices`, not empty; by default this rank's own device.

    Raises:
        UserError: there is no such model or GPU, or its tokenizer lacks a template or stop token.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if config.cluster.threads_per_rank is not None:
        torch.set_num_threads(config.cluster.threads_per_rank)
    world = World.from_env()
    devices = devices or [_device(config.cluster.device, world)]
    try:
        model = load_causal_lm(
            load_directory(path),
            DTYPES[config.precision],
            devices,
            # HFLM's own code, which the certificate compares with, runs on this attention.
            attn_implementation="sdpa",
        )
        tokenizer = published_tokenizer(Path(load_directory(path)))
    except (OSError, ValueError) as error:
        raise _unloadable(path, error) from error
    stop = set_format(tokenizer, path, config)
    if stop is not None:
        # A base model's generation config does not name the stop token of the format.
        model.generation_config.eos_token_id = sorted({stop, *end_token_ids(model)})
    return SharedPrefixLM(
        model,
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


def _unloadable(path: str, error: Exception) -> UserError:
    return UserError(f"{path}: cannot be loaded: {first_line(error)}")


def set_format(tokenizer: Tokenizer, path: str, config: EvalConfig) -> int | None:
    """Let a tokenizer render conversations in the configured format.

    Returns:
        The format's stop token; None for the model's own template and end tokens.

    Raises:
        UserError: the model has no template, and no format is set.
    """
    if config.chat_template is not None:
        tokenizer.chat_template = read_template(config.chat_template)
    if config.prompt_format is None and config.chat_template is None:
        if config.suite.chat_template and tokenizer.chat_template is None:
            formats = ", ".join(PromptFormat.__members__)
            raise UserError(
                f"prompt_format = null: {path} has no chat template of its own, which suite "
                f"{config.suite.name} needs; choose one of: {formats}"
            )
        return None
    if config.prompt_format is not None:
        tokenizer.chat_template = FORMATS[config.prompt_format].exported()
    return stop_token_id(tokenizer, config.prompt_format)
