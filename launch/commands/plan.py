"""`pacos plan KEY=VALUE…`: the needs of a training run, from its overrides."""

from __future__ import annotations

import argparse
import json
from typing import Any

from launch.commands.parser import CommandParser, positive
from launch.config import SCHEMAS
from launch.plan.estimate import Estimate
from launch.plan.forecast import Forecast
from launch.plan.recommend import overrides_between
from launch.plan.table import show, zero_label
from pacos.configs.compose import compose_with_problems
from pacos.errors import EXIT_DONE, ConfigError
from sft.config import SFTConfig
from sft.estimate.data_size import data_size

DETAILS = """\
Takes the overrides of pacos sft and estimates, in a second and without a GPU: the memory of each
GPU and host and the disk space; whether it fits, for every ZeRO stage and offload; the best
strategy and why; network against compute; tokens per second, MFU, hours, GPU-hours and cost;
compute-optimal tokens; the fewest GPUs that would do.

Describe the GPUs with cluster.gpu, cluster.gpu_memory_gib, cluster.network_gbps and
cluster.gpu_hour_usd. pacos sft refuses a run that cannot fit; cluster.must_fit=false starts it."""

MAY_BE_WRONG = (
    "data.path",
    "data.mix",
    "model.path",
    "model.license",
    "data.terms",
    "cluster.nodes",
    "batch.tokens",
    "batch.rows",
)
"""Keys whose problems do not prevent a plan; it lists them instead."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.accept_overrides()
    parser.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help="rows of an epoch, if data.path does not exist yet or should not be read",
    )
    parser.add_argument(
        "--tokens", type=positive, metavar="N", help="mean tokens of a row, likewise"
    )
    parser.add_argument(
        "--json", action="store_true", help="the same as one JSON object, in bytes and seconds"
    )


def run(args: argparse.Namespace) -> int:
    """Plan the training run that a command line describes; return the exit code.

    Raises:
        UserError: the config is too wrong to plan for.
    """
    # A plan is most useful before data and cluster exist, so not every problem stops it.
    config, problems = compose_with_problems(SFTConfig, SCHEMAS, args.overrides)
    refused = config.model_problems()
    blocking = [
        problem for problem in problems if problem.key not in MAY_BE_WRONG or problem in refused
    ]
    if blocking:
        raise ConfigError(blocking)
    size = data_size(config.data, args.rows, args.tokens)
    forecast = Forecast.of(config, size, problems)
    if args.json:
        print(json.dumps(as_json(forecast), indent=2))
    else:
        show(forecast)
    return EXIT_DONE


def as_json(forecast: Forecast) -> dict[str, Any]:
    """Return the forecast as plain values: bytes, seconds, hours; ranges as [least, most]."""
    config, work = forecast.config, forecast.requested.work
    recommended, disk = forecast.recommended, forecast.disk
    return {
        "model": config.model.name,
        "parameters": config.model.shape.num_parameters(),
        "ranks": config.cluster.world_size(),
        "device": forecast.machine.name,
        "device_bytes": forecast.machine.device_bytes,
        "device_known": forecast.machine.known_from,
        "host_bytes": forecast.machine.host_bytes,
        "problems": [str(problem) for problem in forecast.problems],
        "data": {
            "source": forecast.data.source,
            "rows": work.epoch.rows,
            "tokens": work.epoch.tokens,
            "optimal_tokens": forecast.optimal_tokens(),
        },
        "steps": work.steps,
        "asked": _estimate(forecast.requested),
        "divisions": [_estimate(estimate) for estimate in forecast.zero_variants],
        "recommended": None
        if recommended is None
        else {
            **_estimate(recommended),
            "overrides": overrides_between(config, recommended.config),
            "reasons": forecast.reasons,
        },
        "fewest": None if forecast.fewest is None else _estimate(forecast.fewest),
        "fewest_offloaded": None
        if forecast.fewest_offloaded is None
        else _estimate(forecast.fewest_offloaded),
        "hours": forecast.requested.hours() if forecast.requested.time else None,
        "mfu": forecast.mfu(),
        "gpu_hour_usd": config.cluster.gpu_hour_usd,
        "disk": {
            "checkpoint": disk.checkpoint,
            "checkpoints": disk.checkpoints,
            "model": disk.model,
            "token_cache": forecast.token_cache_bytes(),
        },
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    config, memory, time = estimate.config, estimate.memory, estimate.time
    states = memory.states
    return {
        "division": zero_label(config),
        "nodes": config.cluster.nodes,
        "ranks_per_node": config.cluster.ranks_per_node,
        "activation_checkpointing": config.activation_checkpointing.name,
        "micro_packs": config.batch.micro_packs,
        "device": {
            "parameters": states.parameters.device,
            "gradients": states.gradients.device,
            "master": states.master.device,
            "moments": states.optimizer.device,
            "activations": memory.activations,
            "head": memory.head,
            "buffers": memory.buffers,
            "update": memory.update,
            "copy": memory.snapshot.device,
            "fragments": memory.fragmentation,
            "process": memory.process,
            "most": memory.device_bytes(),
        },
        "host": estimate.host_bytes,
        "local_disk": states.disk_bytes() * config.cluster.ranks_per_node,
        "device_verdict": estimate.device_fit.value,
        "host_verdict": estimate.host_fit.value,
        "step_seconds": None if time is None else time.seconds(),
        "network_seconds": None if time is None else time.network,
        "tokens_per_second_per_rank": estimate.tokens_per_second(),
    }
