"""A generated program in its process: first the process locks itself in, then the program runs."""

from __future__ import annotations

import os
import resource
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from eval.sandbox.channel import MAX_REQUEST, Channel
from eval.sandbox.values import pack, unpack
from eval.sandbox.walls import kernel, landlock, namespaces, seccomp

CHANNEL = 3
"""Descriptor of the channel, after the three standard ones, which are /dev/null."""

OPEN_FILES = 64

MODULE = "candidate"
"""Name of the module that the program is."""

IN_FORCE = ""
"""What a layer says of itself where it is in force; otherwise it says why it is not."""


@dataclass(slots=True)
class Plan:
    """What a program may use, and what stands around it. Crosses to the server as JSON."""

    isolated: bool
    memory: int
    """Bytes of address space."""
    disk_mib: int
    seconds: int
    """Of the processor; the wall time is the trusted side's to watch."""
    readable: list[str]
    """Folders and files that Python itself reads."""
    modules: list[str]
    """Folders of packages, added to `sys.path`."""


def run(descriptor: int, plan: Plan, layers: dict[str, str]) -> NoReturn:
    """Lock this process in, take a program from the channel, and answer calls until it ends.

    Args:
        descriptor: this side of the channel.
        plan: what to lock in to.
        layers: what the server around it put in force already.
    """
    kernel.die_with_parent()
    os.dup2(descriptor, CHANNEL)
    os.closerange(CHANNEL + 1, OPEN_FILES)
    os.environ.clear()
    # Seen by libraries in C alone: numpy would begin threads, which seccomp forbids.
    os.putenv("OPENBLAS_NUM_THREADS", "1")
    sys.argv[:] = [""]
    channel = Channel(CHANNEL, MAX_REQUEST)
    # Whatever happens, nothing comes back from here into the server's loop.
    try:
        layers = layers | _lock_in(plan, has_folder=layers.get("mounts") == IN_FORCE)
        channel.send({"layers": layers})
        request = channel.receive()
        function = _load(channel, request["program"], request["entry_point"])
        while function is not None:
            _call(channel, function, channel.receive())
    finally:
        os._exit(0)


def _lock_in(plan: Plan, has_folder: bool) -> dict[str, str]:
    """Put every layer in force that a process can put itself under."""
    folder = [namespaces.TEMPORARY] if has_folder else []
    os.chdir(folder[0] if folder else "/")
    steps: dict[str, Callable[[], object]] = {"limits": partial(_limit, plan)}
    if plan.isolated:
        steps |= {
            "no_new_privs": kernel.forbid_new_privileges,
            "landlock": partial(landlock.restrict, plan.readable, [*folder, "/dev/null"]),
            "capabilities": kernel.drop_capabilities,
            "seccomp": seccomp.restrict,
        }
    layers = {}
    for name, step in steps.items():
        try:
            step()
            layers[name] = IN_FORCE
        except OSError as error:
            layers[name] = str(error)
    return layers


def _limit(plan: Plan) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, plan.memory),
        (resource.RLIMIT_CPU, plan.seconds),
        (resource.RLIMIT_FSIZE, plan.disk_mib << 20),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        kernel.limit(kind, value)


def _load(channel: Channel, program: str, entry_point: str) -> Any:
    """Run the program's top level; returns its function, None if that failed."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        exec(compile(program, f"{MODULE}.py", "exec"), vars(module))
        function = vars(module)[entry_point]
    except BaseException as error:  # noqa: BLE001  # the program may raise anything
        channel.send(_raised(error))
        return None
    channel.send({"loaded": True})
    return function


def _call(channel: Channel, function: Any, request: dict[str, Any]) -> None:
    arguments, named = unpack(request["arguments"]), unpack(request["named"])
    try:
        reply = {"returned": pack(function(*arguments, **named))}
    except BaseException as error:  # noqa: BLE001  # the program may raise anything
        reply = _raised(error)
    channel.send(reply)


def _raised(error: BaseException) -> dict[str, list[str]]:
    try:
        text = str(error)[:500]
    except Exception:  # noqa: BLE001  # its text is the program's, too
        text = ""
    return {"raised": [type(error).__name__[:100], text]}
