"""The isolated process of one program: it locks itself in, then runs the program."""

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
from eval.sandbox.isolation import kernel, landlock, namespaces, seccomp
from eval.sandbox.isolation.report import IN_FORCE
from eval.sandbox.values import pack, unpack

CHANNEL = 3
"""Descriptor of the channel, after the three standard ones, which are /dev/null."""

OPEN_FILES = 64
"""Most descriptors that a program can have open."""

MODULE = "candidate"
"""Name of the module that the program runs as."""


@dataclass(slots=True)
class ProgramLimits:
    """The resources and files that a program may use. Crosses to the fork server as JSON."""

    isolated: bool
    """False to run without isolation layers, under resource limits only."""
    memory: int
    """Bytes of address space."""
    disk_mib: int
    seconds: int
    """CPU time; the trusted side watches the wall time."""
    readable: list[str]
    """Folders and files that Python itself reads."""
    modules: list[str]
    """Folders of installed packages, added to `sys.path`."""


def run(descriptor: int, limits: ProgramLimits, layers: dict[str, str]) -> NoReturn:
    """Lock this process in, receive a program, and answer calls until the channel closes.

    Args:
        descriptor: this side of the channel.
        limits: what the program may use.
        layers: layers that the fork server has put in force around this process.
    """
    # Not inherited from the server over the fork.
    kernel.die_with_parent()
    os.dup2(descriptor, CHANNEL)
    # The server's own descriptors must not leak; RLIMIT_NOFILE rules out any above.
    os.closerange(CHANNEL + 1, OPEN_FILES)
    os.environ.clear()
    # Set for C libraries only, not in os.environ: OpenBLAS would start threads when numpy is
    # imported, which seccomp forbids.
    os.putenv("OPENBLAS_NUM_THREADS", "1")
    # The arguments of the server contain paths of this machine.
    sys.argv[:] = [""]
    channel = Channel(CHANNEL, MAX_REQUEST)
    # This is a fork inside the server's loop: no exception, and no return, may lead back into it.
    try:
        layers = layers | _lock_in(limits, has_folder=layers.get("mounts") == IN_FORCE)
        channel.send({"layers": layers})
        request = channel.receive()
        function = _load(channel, request["program"], request["entry_point"])
        while function is not None:
            _call(channel, function, channel.receive())
    finally:
        os._exit(0)


def _lock_in(limits: ProgramLimits, has_folder: bool) -> dict[str, str]:
    """Put every layer in force that a process can put itself under, and report each.

    The order matters: Landlock and seccomp need no_new_privs, and seccomp comes last because it
    forbids the system calls that the other layers need.
    """
    folder = [namespaces.TEMPORARY] if has_folder else []
    os.chdir(folder[0] if folder else "/")
    steps: dict[str, Callable[[], object]] = {"limits": partial(_set_limits, limits)}
    if limits.isolated:
        steps |= {
            "no_new_privs": kernel.forbid_new_privileges,
            "landlock": partial(landlock.restrict, limits.readable, [*folder, "/dev/null"]),
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


def _set_limits(limits: ProgramLimits) -> None:
    # RLIMIT_NPROC is not among them: it counts all processes of the user, those outside included,
    # and does not bind root. Fork bombs end at seccomp, which has no call that creates a process.
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_FSIZE, limits.disk_mib << 20),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        # Memory of the kernel that RLIMIT_AS does not count.
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        kernel.limit(kind, value)


def _load(channel: Channel, program: str, entry_point: str) -> Any:
    """Run the program's top level, and return its function; None if that failed."""
    module = types.ModuleType(MODULE)
    # Dataclasses and pickle look their module up by name.
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
        # Inside the try: packing runs the program's own code, such as __iter__ of its classes.
        reply = {"returned": pack(function(*arguments, **named))}
    except BaseException as error:  # noqa: BLE001  # the program may raise anything
        reply = _raised(error)
    channel.send(reply)


def _raised(error: BaseException) -> dict[str, list[str]]:
    try:
        text = str(error)[:500]
    except Exception:  # noqa: BLE001  # __str__ is the program's code too
        text = ""
    return {"raised": [type(error).__name__[:100], text]}
