"""The fork server: a clean Python behind the walls, of which each program gets a copy.

It is told to begin a program with a descriptor of the channel that the program answers on, and to
end it. It never sees a program or a value. Between two programs nothing is left of the first.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from eval.sandbox.program import IN_FORCE, OPEN_FILES, Plan, run
from eval.sandbox.walls import kernel, namespaces

PRELOADED = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string"),
    "typing",
)
"""Modules that programs use most; loading them anew would take longer than most programs."""

BEGIN, END = b"begin", b"end"


def main() -> NoReturn:
    """Serve one trusted process until it goes away."""
    kernel.die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    plan = Plan(**json.loads(sys.argv[2]))
    kernel.limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    for name in PRELOADED:
        importlib.import_module(name)
    sys.path += plan.modules
    before = namespaces.identities()
    layers = _enter() if plan.isolated else {}
    if layers.get("namespaces") == IN_FORCE:
        _become_first()
        layers |= _told_apart(before) | _mounted(plan)
    # Up to here the trusted side hears of an error; programs have nobody to talk to.
    os.dup2(1, 2)
    serve(control, plan, layers)


def _enter() -> dict[str, str]:
    try:
        namespaces.enter()
    except OSError as error:
        return {"namespaces": str(error)}
    return {"namespaces": IN_FORCE}


def _become_first() -> None:
    """Go on as the first process of the new namespace, with whose end all others in it end."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    kernel.die_with_parent()


def _told_apart(before: dict[str, int]) -> dict[str, str]:
    """Whether each namespace is another one than before."""
    now = namespaces.identities()
    return {
        f"{kind}_namespace": IN_FORCE
        if kind in now and kind in before and now[kind] != before[kind]
        else "it is the old one"
        for kind in namespaces.KINDS
    }


def _mounted(plan: Plan) -> dict[str, str]:
    try:
        namespaces.build_root(plan.readable)
    except OSError as error:
        return {"mounts": str(error)}
    return {"mounts": "/proc is still there" if os.path.exists("/proc") else IN_FORCE}


def serve(control: socket.socket, plan: Plan, layers: dict[str, str]) -> NoReturn:
    """Begin and end programs, one at a time."""
    has_folder = layers.get("mounts") == IN_FORCE
    child = 0
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if order == BEGIN:
            if has_folder:
                namespaces.mount_temporary(plan.disk_mib)
            child = os.fork()
            if child == 0:
                os.setsid()
                control.close()
                run(descriptors[0], plan, layers)
            os.close(descriptors[0])
        elif order == END:
            alone = layers.get("pid_namespace") == IN_FORCE
            control.send(json.dumps(_end(child, alone)).encode())
            if has_folder:
                namespaces.unmount_temporary()
        else:
            os._exit(0)


def _end(child: int, alone: bool) -> int:
    """Kill a program and whatever it started; returns how it ended, as waitpid says it."""
    status = 0
    # The first process of a namespace reaches all others in it, and only those. Elsewhere seccomp
    # keeps a program from making another process; without isolation its group is what is known.
    for target in (child, -1 if alone else -child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
    while True:
        try:
            ended, how = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if ended == child:
            status = how
