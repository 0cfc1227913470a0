"""`pacos plan KEY=VALUE…`: from the words of a pacos sft command to what it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from launch.config import SCHEMAS
from launch.plan.estimate import Option
from launch.plan.forecast import Prospect
from launch.plan.recommend import words
from launch.plan.table import division, show
from pacos.configs.compose import compose_with_problems
from pacos.errors import EXIT_DONE, ConfigError, UserError
from sft.config import SFTConfig
from sft.estimate.data_size import data_size

USAGE = """\
usage: pacos plan KEY=VALUE… [--rows N] [--tokens N] [--json]   with the words of pacos sft

Says, without a GPU and in a second: memory of a GPU and of its host, disk, for every ZeRO stage
and offload; what fits, what is best and why; network against compute; tokens a second, MFU, hours,
GPU-hours, cost; compute-optimal tokens; the fewest GPUs that would do.

  --rows N     rows of an epoch, where data.path is not there yet or is to be left unread
  --tokens N   tokens of the mean row, likewise
  --json       the same as one JSON object, bytes and seconds

GPUs are those of cluster.gpu, cluster.gpu_memory_gib, cluster.network_gbps, cluster.gpu_hour_usd.
Training that cannot fit is refused before it starts; cluster.must_fit=false starts it."""

LATER = ("data.path", "data.mix", "model.path", "cluster.nodes", "batch.tokens", "batch.rows")
"""Keys that may still be wrong: a plan for them can be made."""


def run_plan(arguments: Sequence[str]) -> int:
    """Plan from a command line; returns the exit code.

    Raises:
        UserError: the config cannot be planned for.
    """
    options, overrides = _parse(arguments)
    config, problems = compose_with_problems(SFTConfig, SCHEMAS, overrides)
    hindering = [problem for problem in problems if problem.key not in LATER]
    if hindering:
        raise ConfigError(hindering)
    size = data_size(config.data, options.get("--rows"), options.get("--tokens"))
    prospect = Prospect.of(config, size, problems)
    if "--json" in options:
        print(json.dumps(as_json(prospect), indent=2))
    else:
        show(prospect)
    return EXIT_DONE


def _parse(arguments: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    options: dict[str, int] = {}
    overrides = []
    left = iter(arguments)
    for word in left:
        if word == "--json":
            options[word] = 1
        elif word in ("--rows", "--tokens"):
            number = next(left, "")
            if not number.isdigit() or int(number) < 1:
                raise UserError(f"{word} {number}: takes a number of at least 1")
            options[word] = int(number)
        elif word.startswith("-"):
            raise UserError(f"{word}: no such option of pacos plan; see pacos plan --help")
        else:
            overrides.append(word)
    return options, overrides


def as_json(prospect: Prospect) -> dict[str, Any]:
    """Everything as plain values: bytes, seconds, hours; ranges as [least, most]."""
    config, work = prospect.config, prospect.asked.work
    chosen, few, disk = prospect.chosen, prospect.fewest, prospect.disk
    return {
        "model": config.model.name,
        "parameters": config.model.shape.num_parameters(),
        "ranks": config.cluster.world_size(),
        "device": prospect.machine.name,
        "device_bytes": prospect.machine.device_bytes,
        "device_known": prospect.machine.known,
        "host_bytes": prospect.machine.host_bytes,
        "problems": [str(problem) for problem in prospect.problems],
        "data": {
            "source": prospect.data.source,
            "rows": work.epoch.rows,
            "tokens": work.epoch.tokens,
            "optimal_tokens": prospect.optimal_tokens(),
        },
        "steps": work.steps,
        "asked": _option(prospect.asked),
        "divisions": [_option(option) for option in prospect.divisions],
        "recommended": None
        if chosen is None
        else {
            **_option(chosen),
            "overrides": words(chosen.config, config),
            "reasons": prospect.reasons,
        },
        "fewest": None if few is None else _option(few),
        "fewest_offloaded": None
        if prospect.fewest_offloaded is None
        else _option(prospect.fewest_offloaded),
        "hours": prospect.asked.hours() if prospect.asked.time else None,
        "mfu": prospect.mfu(),
        "gpu_hour_usd": config.cluster.gpu_hour_usd,
        "disk": {
            "checkpoint": disk.checkpoint,
            "checkpoints": disk.checkpoints,
            "model": disk.model,
            "token_cache": prospect.token_cache(),
        },
    }


def _option(option: Option) -> dict[str, Any]:
    config, memory, time = option.config, option.memory, option.time
    parts = ("parameters", "gradients", "master", "moments")
    held = {part: getattr(memory.held, part) for part in parts}
    return {
        "division": division(config),
        "nodes": config.cluster.nodes,
        "ranks_per_node": config.cluster.ranks_per_node,
        "activation_checkpointing": config.activation_checkpointing.name,
        "micro_packs": config.batch.micro_packs,
        "device": {
            **{part: amount.device for part, amount in held.items()},
            "activations": memory.activations,
            "head": memory.head,
            "buffers": memory.buffers,
            "update": memory.update,
            "copy": memory.copy.device,
            "fragments": memory.fragments,
            "process": memory.process,
            "most": memory.device(),
        },
        "host": option.host,
        "local_disk": memory.held.disk() * config.cluster.ranks_per_node,
        "device_verdict": option.device.value,
        "host_verdict": option.on_host.value,
        "step_seconds": None if time is None else time.seconds(),
        "network_seconds": None if time is None else time.network,
        "tokens_per_second_per_rank": option.tokens_per_second(),
    }
