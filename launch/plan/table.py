"""A prospect for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from launch.plan.estimate import Verdict
from launch.plan.forecast import Prospect
from launch.plan.recommend import words
from sft.config import SFTConfig
from sft.configs.deepspeed import Offload
from sft.estimate.held import Amount
from sft.estimate.memory import GPU_FRAGMENTS, kernels_of
from sft.estimate.speed import TWICE, WIRE

GIB = 2**30
WIDTH = 100
"""Columns where the output is no terminal."""

STYLE = {Verdict.fits: "green", Verdict.tight: "yellow", Verdict.too_large: "red"}


def show(prospect: Prospect) -> None:
    """Print everything."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for line in _heading(prospect):
        console.print(line)
    console.print(_memory(prospect))
    console.print(_divisions(prospect))
    for line in (*_advice(prospect), "", *_time(prospect), *_disk(prospect), *_optimum(prospect)):
        console.print(line)
    console.print()
    for line in _assumptions(prospect):
        console.print(f"[dim]{line}[/dim]")


def _heading(prospect: Prospect) -> Iterator[str]:
    config, work, data = prospect.config, prospect.asked.work, prospect.data
    cluster, epoch = config.cluster, work.epoch
    shape = config.model.shape
    machine, ranks = prospect.machine, cluster.world_size()
    what = f"{cluster.nodes} x {cluster.ranks_per_node} {machine.name}"
    yield (
        f"[bold]{config.model.name}[/bold]  {count(shape.num_parameters())} parameters, "
        f"{config.precision.name}, {division(config)}, on {what} of "
        f"{machine.device_bytes / GIB:.1f} GiB ({machine.known})"
    )
    yield f"data   {data.source}: {count(epoch.rows)} rows, {count(epoch.tokens)} tokens an epoch"
    yield (
        f"steps  {work.steps:,} of {count(work.step_tokens)} tokens, {config.epochs} epochs; "
        f"{_plural(work.passes, 'pass', 'passes')} a step of up to {work.pass_tokens:,.0f} tokens "
        f"on each of {_plural(ranks, 'rank')}"
    )
    for problem in prospect.problems:
        yield f"[yellow]before it can run: {problem}[/yellow]"


def _memory(prospect: Prospect) -> Table:
    memory, ranks = prospect.asked.memory, prospect.config.cluster.ranks_per_node
    held = memory.held
    device = "a GPU" if prospect.machine.gpu else "a rank"
    table = Table(title="Memory, GiB", title_justify="left", box=None, pad_edge=False)
    for column in ("", device, "its host", ""):
        table.add_column(column, justify="right" if column else "left")

    def row(name: str, amount: Amount, note: str = "") -> None:
        host = amount.host * ranks
        table.add_row(name, _gib(amount.device), _gib(host) if host else "", f"[dim]{note}[/dim]")

    row("weights", held.parameters)
    row("gradients", held.gradients)
    row("master weights", held.master, "the optimizer's own copy")
    row("Adam's moments", held.moments)
    row("activations", Amount(device=memory.activations), _checkpointing(prospect.config))
    row("head, or a layer", Amount(device=memory.head), "loss in chunks; or one layer's backward")
    row("buffers", Amount(device=memory.buffers), "gradients on their way, gathered weights")
    if memory.update > memory.activations + memory.head + memory.buffers:
        row("update", Amount(device=memory.update), "instead of the three above: it is larger")
    row("copy", memory.copy, "for checkpoints, if there is room")
    row("fragments", Amount(device=memory.fragments), "what the allocator cannot use")
    row("process", Amount(device=memory.process), "what is no tensor")
    verdict, host = prospect.asked.device, prospect.asked.on_host
    note = f"of {_gib(prospect.machine.device_bytes)}: {_coloured(verdict)}"
    if prospect.machine.host_bytes is not None:
        note += f"; host of {_gib(prospect.machine.host_bytes)}: {_coloured(host)}"
    needed = _gib(prospect.asked.host) if prospect.machine.gpu else ""
    table.add_row("[bold]sum[/bold]", f"[bold]{_gib(memory.device())}[/bold]", needed, note)
    if held.disk():
        table.add_row("local disk", "", "", f"{_gib(held.disk() * ranks)} a node")
    return table


def _divisions(prospect: Prospect) -> Table:
    table = Table(
        title="\nZeRO stages, the rest as it is", title_justify="left", box=None, pad_edge=False
    )
    for name in ("", "GiB a rank", "GiB a host", "", "network", "tokens/s a GPU", "time"):
        table.add_column(name, justify="left" if not name else "right")
    for option in prospect.divisions:
        mark = "> " if division(option.config) == division(prospect.config) else "  "
        table.add_row(
            mark + division(option.config),
            _gib(option.memory.device()),
            _gib(option.host),
            _coloured(max(option.device, option.on_host, key=list(Verdict).index)),
            f"{option.time.network:.2g} s" if option.time else "",
            _range(option.tokens_per_second()),
            _duration(option.hours()) if option.time else "",
        )
    return table


def _advice(prospect: Prospect) -> Iterator[str]:
    yield ""
    chosen, config = prospect.chosen, prospect.config
    if chosen is None:
        yield "[red]nothing fits on these machines[/red], with any stage, offload or checkpointing"
    else:
        changes = words(chosen.config, config)
        how = " ".join(changes) if changes else "as it is"
        yield f"[bold]recommended[/bold]  {how}"
        yield (
            f"    {_gib(chosen.memory.device())} GiB a rank, {_range(chosen.tokens_per_second())} "
            f"tokens/s a GPU, {_duration(chosen.hours())}"
            if chosen.time
            else f"    {_gib(chosen.memory.device())} GiB a rank"
        )
        for reason in prospect.reasons:
            yield f"    {reason}"
    if prospect.machine.gpu is None:
        return
    for name, few in (("without offload", prospect.fewest), ("with", prospect.fewest_offloaded)):
        if few is not None:
            cluster = few.config.cluster
            host = f", {_gib(few.host)} GiB a host" if few.offloads() else ""
            yield (
                f"[bold]fewest[/bold]  {name}: {cluster.nodes} x {cluster.ranks_per_node} "
                f"{prospect.machine.name}: {division(few.config)}, "
                f"{_checkpointing(few.config)}{host}"
            )


def _time(prospect: Prospect) -> Iterator[str]:
    time, mfu = prospect.asked.time, prospect.mfu()
    if time is None or mfu is None:
        yield "time   no prediction for CPUs: the first steps tell it"
        return
    hours = prospect.asked.hours()
    ranks = prospect.config.cluster.world_size()
    fast, slow = time.compute
    yield (
        f"time   {_duration(hours)}, {_span((hours[0] * ranks, hours[1] * ranks))} GPU-hours; "
        f"MFU {mfu[0]:.0%} to {mfu[1]:.0%}"
    )
    parts = [f"compute {fast:.2g} to {slow:.2g} s", f"network {time.network:.2g} s"]
    if time.update:
        parts.append(f"update on the host {time.update:.2g} s")
    yield f"       a step: {', '.join(parts)}: bound by {time.bound()}"
    price = prospect.config.cluster.gpu_hour_usd
    if price is None:
        yield "cost   give cluster.gpu_hour_usd"
    else:
        yield f"cost   {_span((hours[0] * ranks * price, hours[1] * ranks * price))} US dollars"


def _disk(prospect: Prospect) -> Iterator[str]:
    disk = prospect.disk
    yield (
        f"disk   {disk.total() / GIB:,.1f} GiB: {_plural(disk.checkpoints, 'checkpoint')} of "
        f"{disk.checkpoint / GIB:,.1f}, model {disk.model / GIB:,.1f}; "
        f"token cache {prospect.token_cache() / GIB:.2g} GiB"
    )


def _optimum(prospect: Prospect) -> Iterator[str]:
    optimum, tokens = prospect.optimal_tokens(), prospect.asked.work.epoch.tokens
    yield (
        f"data   compute-optimal pretraining of this size is {count(optimum)} tokens (Chinchilla, "
        f"21.6 a parameter); an epoch here is {tokens / optimum:.2g} of that"
    )
    had = prospect.config.model.pretraining_tokens
    if had is not None:
        yield (
            f"       the model has seen {count(had)}, {had / optimum:.2g} times as many: trained "
            "longer than is cheapest to train, because a smaller model is cheaper to serve"
            if had > optimum
            else f"       the model has seen {count(had)}, {had / optimum:.2g} of that"
        )


def _assumptions(prospect: Prospect) -> Iterator[str]:
    if prospect.machine.gpu is None:
        yield "Memory of a CPU rank is its whole process's."
        if kernels_of(prospect.config, gpu=False).widened:
            yield "This CPU makes products of bf16 numbers in fp32."
        return
    twice = TWICE[prospect.config.activation_checkpointing]
    yield (
        f"Assumed: {prospect.machine.name} reach what is published for FSDP "
        "(sft/estimate/speed.py), "
        f"x{twice:.2f} compute for checkpointing; links {prospect.machine.gpu.link:g} GB/s in a "
        f"node and {prospect.config.cluster.network_gbps:g} Gbit/s between nodes, {WIRE:.0%} of it "
        f"used; FlashAttention; {GPU_FRAGMENTS:.0%} of memory lost to fragments. Fast: the network "
        "is hidden behind compute; slow: it is not. Before a long run measure 50 steps: "
        "max_steps=50."
    )


def division(config: SFTConfig) -> str:
    """Stage and offload in words."""
    zero = config.deepspeed
    parts = [f"ZeRO-{zero.stage}"]
    if zero.parameters_per_node:
        parts.append("hpZ")
    if zero.offload_optimizer is not Offload.none:
        parts.append(f"update on {zero.offload_optimizer.name}")
    if zero.offload_parameters is not Offload.none:
        parts.append(f"weights on {zero.offload_parameters.name}")
    return ", ".join(parts)


def count(number: float) -> str:
    """A large number in three digits: 6.74 B, 52.0 k."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _checkpointing(config: SFTConfig) -> str:
    return f"activation_checkpointing={config.activation_checkpointing.name}"


def _plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f}"


def _coloured(verdict: Verdict) -> str:
    return f"[{STYLE[verdict]}]{verdict.value}[/{STYLE[verdict]}]"


def _span(pair: tuple[float, float]) -> str:
    """Two ends in two digits each."""
    return " to ".join(_two_digits(end) for end in pair)


def _two_digits(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _range(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else _span(pair)


def _duration(hours: tuple[float, float]) -> str:
    if hours[1] < 1:
        return f"{_span((hours[0] * 60, hours[1] * 60))} min"
    return f"{_span(hours)} h"
