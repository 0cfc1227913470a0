"""Hardware, hours and energy of a run, for its card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.files import read_json, read_jsonl
from pacos.gpus import find_gpu
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths
from pacos.tracking import metrics

PUE = 1.56
"""Energy of a data center by that of its machines: the mean of the Uptime Institute's Global Data
Center Survey 2024."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one life of a run."""

    hours: float
    ranks: int | None
    """Processes, each with a GPU if there is one; 0 if a service did the work, None if an older
    version did not record it."""
    gpu: str | None
    """Name of the GPUs; None on a CPU."""

    @classmethod
    def of(cls, life: dict[str, Any], hours: float) -> Work:
        return cls(hours, life.get("ranks"), life.get("gpu"))


def generation_lines(run: RunPaths) -> list[str]:
    """Return sentences about the hardware, the hours and the energy of a run so far."""
    works = [
        Work.of(life, (life.get("end", time.time()) - life["start"]) / 3600)
        for life in Lives(run).all()
    ]
    hours = _number(sum(work.hours for work in works))
    return [f"Wall time: {hours} hours.", *_hardware(run, works)]


def training_lines(run: RunPaths, step: int) -> list[str]:
    """Return the same of a training run for a model after a step.

    Only the time in steps counts, so that every export of a checkpoint says the same.
    """
    lives = [life for life in Lives(run).all() if "first_step" in life]
    seconds = [0.0] * len(lives)
    total = 0.0
    for record in read_jsonl(run.metrics):
        if record[metrics.STEP] > step:
            break
        took = record.get(metrics.STEP_SECONDS, 0.0)
        total += took
        # The last life that began before the step made it: what it repeated is cut off.
        begun = [n for n, life in enumerate(lives) if life["first_step"] <= record[metrics.STEP]]
        if begun:
            seconds[begun[-1]] += took
    works = [Work.of(life, took / 3600) for life, took in zip(lives, seconds, strict=True) if took]
    hours = f"Time in steps: {_number(total / 3600)} hours"
    return [
        f"{hours}, without start, validation and checkpoints.",
        *_hardware(run, works),
    ]


def _hardware(run: RunPaths, works: Sequence[Work]) -> list[str]:
    known = [work for work in works if work.ranks is not None]
    if not known:
        return ["Hardware: not recorded."]
    lines = []
    gpu_hours: dict[str, float] = {}
    for work in known:
        if work.gpu is not None and work.ranks:
            hours = work.hours * work.ranks
            gpu_hours[work.gpu] = gpu_hours.get(work.gpu, 0.0) + hours
    for name, hours in gpu_hours.items():
        counts = {work.ranks or 0 for work in known if work.gpu == name}
        lines.append(f"Hardware: {_either(counts)} × {name}, {_number(hours)} GPU-hours.")
    on_cpu = {work.ranks for work in known if work.gpu is None and work.ranks}
    if on_cpu:
        hardware = read_json(run.manifest)["hardware"]
        machine = f"{hardware['machine']} with {hardware['cpus']} cores"
        lines.append(f"Hardware: CPUs ({machine}), processes: {_either(on_cpu)}.")
    return [*lines, _energy(gpu_hours, on_cpu=bool(on_cpu))]


def _energy(gpu_hours: Mapping[str, float], *, on_cpu: bool) -> str:
    if on_cpu:
        return "Energy: no estimate: it ran on CPUs, whose power is not known."
    if not gpu_hours:
        return "Energy: no estimate: a service did the work, whose hardware is not known."
    watts = {name: gpu.watts for name in gpu_hours if (gpu := find_gpu(name)) is not None}
    unknown = gpu_hours.keys() - watts.keys()
    if unknown:
        return f"Energy: no estimate: the power of {', '.join(sorted(unknown))} is not known."
    kwh = PUE * sum(watts[name] * own for name, own in gpu_hours.items()) / 1000
    rated = ", ".join(f"{watts[name]:g} W" for name in gpu_hours)
    return (
        f"Energy: about {_number(kwh)} kWh, an estimate: each GPU draws its rated power ({rated}) "
        f"all the time, times a PUE of {PUE} (mean of the Uptime Institute's survey of 2024). "
        "Processors, disks and networks are not counted."
    )


def _either(counts: set[int]) -> str:
    return " or ".join(map(str, sorted(counts)))


def _number(value: float) -> str:
    """Format a quantity with three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "< 0.001"
