"""A forecast as tables and lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from launch.plan.estimate import Estimate, MemoryFit
from launch.plan.forecast import Forecast
from launch.plan.recommend import overrides_between
from pacos.text.counted import counted
from sft.config import SFTConfig
from sft.configs.deepspeed import Offload
from sft.estimate.memory import GPU_FRAGMENTATION, kernels_of
from sft.estimate.model_states import Footprint
from sft.estimate.speed import LINK_EFFICIENCY, RECOMPUTE_FACTOR

GIB = 2**30
WIDTH = 100
"""Columns if the output is not a terminal."""

STYLE = {MemoryFit.fits: "green", MemoryFit.tight: "yellow", MemoryFit.too_large: "red"}


def show(forecast: Forecast) -> None:
    """Print the whole forecast."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for line in _heading(forecast):
        console.print(line)
    console.print(_memory_table(forecast))
    console.print(_zero_table(forecast))
    for line in (
        *_recommendation(forecast),
        "",
        *_time(forecast),
        *_disk(forecast),
        *_tokens(forecast),
    ):
        console.print(line)
    console.print()
    for line in _assumptions(forecast):
        console.print(f"[dim]{line}[/dim]")


def _heading(forecast: Forecast) -> Iterator[str]:
    config, work, data = forecast.config, forecast.requested.work, forecast.data
    cluster, epoch = config.cluster, work.epoch
    machine, ranks = forecast.machine, cluster.world_size()
    yield (
        f"[bold]{config.model.name}[/bold]  {count(config.model.shape.num_parameters())} "
        f"parameters, {config.precision.name}, {zero_label(config)}, on {cluster.nodes} x "
        f"{cluster.ranks_per_node} {machine.name} with {machine.device_bytes / GIB:.1f} GiB each "
        f"({machine.known_from})"
    )
    yield (
        f"data   {data.source}; an epoch has {count(epoch.rows)} rows and {count(epoch.tokens)} "
        "tokens"
    )
    yield (
        f"steps  {counted(work.steps, 'step')} of {count(work.step_tokens)} tokens in "
        f"{counted(config.epochs, 'epoch')}; per step, "
        f"{counted(work.passes, 'pass', 'passes')} of up to "
        f"{work.pass_tokens:,.0f} tokens on each of {counted(ranks, 'rank')}"
    )
    for problem in forecast.problems:
        yield f"[yellow]fix before running: {problem}[/yellow]"


def _memory_table(forecast: Forecast) -> Table:
    memory, ranks = forecast.requested.memory, forecast.config.cluster.ranks_per_node
    states = memory.states
    table = Table(title="Memory in GiB", title_justify="left", box=None, pad_edge=False)
    table.add_column("", justify="left")
    table.add_column("per GPU" if forecast.machine.gpu else "per rank", justify="right")
    table.add_column("per host", justify="right")
    table.add_column("", justify="left")

    def row(name: str, footprint: Footprint, note: str = "") -> None:
        host = footprint.host * ranks
        device = _gib(footprint.device)
        table.add_row(name, device, _gib(host) if host else "", f"[dim]{note}[/dim]")

    row("weights", states.parameters)
    row("gradients", states.gradients)
    row("master weights", states.master, "the optimizer's own copy")
    row("optimizer states", states.optimizer, forecast.config.optimizer.NAME)
    row("activations", Footprint(device=memory.activations), _checkpointing(forecast.config))
    row(
        "head or layer", Footprint(device=memory.head), "chunked loss, or one layer's backward pass"
    )
    row("buffers", Footprint(device=memory.buffers), "gradient buckets and gathered weights")
    if memory.update > memory.activations + memory.head + memory.buffers:
        row("update", Footprint(device=memory.update), "replaces the three above: it is larger")
    row("checkpoint copy", memory.snapshot, "if there is room")
    row("fragmentation", Footprint(device=memory.fragmentation), "lost by the allocator")
    row("process", Footprint(device=memory.process), "outside tensors")
    note = f"of {_gib(forecast.machine.device_bytes)}: {_colored(forecast.requested.device_fit)}"
    if forecast.machine.host_bytes is not None:
        host_fit = _colored(forecast.requested.host_fit)
        note += f"; host of {_gib(forecast.machine.host_bytes)}: {host_fit}"
    total = f"[bold]{_gib(memory.device_bytes())}[/bold]"
    host_total = _gib(forecast.requested.host_bytes) if forecast.machine.gpu else ""
    table.add_row("[bold]total[/bold]", total, host_total, note)
    if states.disk_bytes():
        table.add_row("local disk", "", "", f"{_gib(states.disk_bytes() * ranks)} per node")
    return table


def _zero_table(forecast: Forecast) -> Table:
    table = Table(
        title="\nZeRO variants, all else as requested",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("", "GiB/rank", "GiB/host", "", "network", "tokens/s/GPU", "time"):
        table.add_column(name, justify="right" if name else "left")
    for estimate in forecast.zero_variants:
        label = zero_label(estimate.config)
        mark = "> " if label == zero_label(forecast.config) else "  "
        # The worse of the two: MemoryFit's members are in this order.
        fit = max(estimate.device_fit, estimate.host_fit, key=list(MemoryFit).index)
        table.add_row(
            mark + label,
            _gib(estimate.memory.device_bytes()),
            _gib(estimate.host_bytes),
            _colored(fit),
            f"{estimate.time.network:.2g} s" if estimate.time else "",
            _tokens_per_second(estimate),
            _duration(estimate.hours()) if estimate.time else "",
        )
    return table


def _recommendation(forecast: Forecast) -> Iterator[str]:
    yield ""
    recommended, config = forecast.recommended, forecast.config
    if recommended is None:
        yield (
            "[red]nothing fits on these machines[/red], whatever the stage, offload and "
            "checkpointing"
        )
    else:
        changes = overrides_between(config, recommended.config)
        yield f"[bold]recommended[/bold]  {' '.join(changes) if changes else 'as requested'}"
        needs = f"    {_gib(recommended.memory.device_bytes())} GiB per rank"
        if recommended.time:
            needs += f", {_tokens_per_second(recommended)} tokens/s per GPU"
            needs += f", {_duration(recommended.hours())}"
        yield needs
        for reason in forecast.reasons:
            yield f"    {reason}"
    if forecast.machine.gpu is None:
        return
    for name, fewest in (
        ("without offload", forecast.fewest),
        ("with offload", forecast.fewest_offloaded),
    ):
        if fewest is not None:
            cluster = fewest.config.cluster
            host = f", {_gib(fewest.host_bytes)} GiB per host" if fewest.offloads() else ""
            yield (
                f"[bold]fewest GPUs[/bold]  {name}: {cluster.nodes} x {cluster.ranks_per_node} "
                f"{forecast.machine.name}: {zero_label(fewest.config)}, "
                f"{_checkpointing(fewest.config)}{host}"
            )


def _time(forecast: Forecast) -> Iterator[str]:
    time, mfu = forecast.requested.time, forecast.mfu()
    if time is None or mfu is None:
        yield "time   no estimate for CPUs; measure the first steps with max_steps=5"
        return
    hours = forecast.requested.hours()
    ranks = forecast.config.cluster.world_size()
    fast, slow = time.compute
    yield (
        f"time   {_duration(hours)}, {_range((hours[0] * ranks, hours[1] * ranks))} GPU-hours, "
        f"MFU {mfu[0]:.0%} to {mfu[1]:.0%}"
    )
    parts = [f"compute {fast:.2g} to {slow:.2g} s", f"network {time.network:.2g} s"]
    if time.update:
        parts.append(f"update on the host {time.update:.2g} s")
    yield f"       per step: {', '.join(parts)}; bottleneck: {time.bottleneck()}"
    price = forecast.config.cluster.gpu_hour_usd
    if price is None:
        yield "cost   set cluster.gpu_hour_usd to estimate it"
    else:
        yield f"cost   {_range((hours[0] * ranks * price, hours[1] * ranks * price))} US dollars"


def _disk(forecast: Forecast) -> Iterator[str]:
    disk = forecast.disk
    yield (
        f"disk   {disk.total() / GIB:,.1f} GiB: {counted(disk.checkpoints, 'checkpoint')} of "
        f"{disk.checkpoint / GIB:,.1f}, model of {disk.model / GIB:,.1f}; "
        f"token cache {forecast.token_cache_bytes() / GIB:.2g} GiB"
    )


def _tokens(forecast: Forecast) -> Iterator[str]:
    optimum, tokens = forecast.optimal_tokens(), forecast.requested.work.epoch.tokens
    yield (
        f"tokens compute-optimal pretraining of this size takes {count(optimum)} (Chinchilla: "
        f"21.6 per parameter); an epoch here has {tokens / optimum:.2g} of that"
    )
    seen = forecast.config.model.pretraining_tokens
    if seen is None:
        return
    ratio = _two_digits(seen / optimum)
    if seen > optimum:
        yield (
            f"       the base model saw {count(seen)}, {ratio} times as many: training past the "
            "optimum makes a smaller model, which is cheaper to serve, as good as a larger one"
        )
    else:
        yield f"       the base model saw {count(seen)}, {ratio} of that"


def _assumptions(forecast: Forecast) -> Iterator[str]:
    config, gpu = forecast.config, forecast.machine.gpu
    if gpu is None:
        yield "The memory of a CPU rank is that of its whole process."
        if kernels_of(config, gpu=False).widened:
            yield "This CPU has no fast bf16 products: they are computed in fp32."
        return
    recompute = RECOMPUTE_FACTOR[config.activation_checkpointing]
    yield (
        f"Assumptions: {forecast.machine.name} reaches the efficiency published for FSDP "
        f"(sft/estimate/speed.py); checkpointing multiplies compute by {recompute:.2f}; links of "
        f"{gpu.link:g} GB/s within a node and {config.cluster.network_gbps:g} Gbit/s between nodes "
        f"run at {LINK_EFFICIENCY:.0%}; FlashAttention; {GPU_FRAGMENTATION:.0%} of memory is lost "
        "to fragmentation. The fast end hides the network behind compute, the slow end does not. "
        "Before a long run, measure 50 steps: max_steps=50."
    )


def zero_label(config: SFTConfig) -> str:
    """Return ZeRO stage, hpZ and offload as a label: ZeRO-3, hpZ, optimizer on cpu."""
    zero = config.deepspeed
    parts = [f"ZeRO-{zero.stage}"]
    if zero.parameters_per_node:
        parts.append("hpZ")
    if zero.offload_optimizer is not Offload.none:
        parts.append(f"optimizer on {zero.offload_optimizer.name}")
    if zero.offload_parameters is not Offload.none:
        parts.append(f"weights on {zero.offload_parameters.name}")
    return ", ".join(parts)


def count(number: float) -> str:
    """Return a large number in three digits with a unit: 6.74 B, 52 k."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _checkpointing(config: SFTConfig) -> str:
    return f"activation_checkpointing={config.activation_checkpointing.name}"


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f}"


def _colored(fit: MemoryFit) -> str:
    return f"[{STYLE[fit]}]{fit.value}[/{STYLE[fit]}]"


def _tokens_per_second(estimate: Estimate) -> str:
    ends = estimate.tokens_per_second()
    return "" if ends is None else _range(ends)


def _duration(hours: tuple[float, float]) -> str:
    if hours[1] < 1:
        return f"{_range((hours[0] * 60, hours[1] * 60))} min"
    return f"{_range(hours)} h"


def _range(ends: tuple[float, float]) -> str:
    """Return both ends in two digits each: more would pretend a precision that is not there."""
    return " to ".join(_two_digits(end) for end in ends)


def _two_digits(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
