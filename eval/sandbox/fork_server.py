"""The fork server: a clean interpreter behind the isolation layers, forked for each program.

It starts a program on request, with a descriptor of the program's channel, and ends it on request.
It never sees a program or a value, so a program cannot influence the next one through it.
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

from eval.sandbox.isolation import kernel, namespaces
from eval.sandbox.isolation.report import IN_FORCE
from eval.sandbox.program import OPEN_FILES, ProgramLimits, run

PRELOADED = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string"),
    "typing",
)
"""Modules that programs use most; importing them anew would take longer than most programs run."""

BEGIN, END = b"begin", b"end"


def main() -> NoReturn:
    """Serve one trusted process until it ends."""
    kernel.die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    limits = ProgramLimits(**json.loads(sys.argv[2]))
    # Set here, before the forks: `program.run` closes descriptors up to this limit and no further.
    kernel.limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    for name in PRELOADED:
        importlib.import_module(name)
    sys.path += limits.modules
    before = namespaces.identities()
    layers = _enter_namespaces() if limits.isolated else {}
    if layers.get("namespaces") == IN_FORCE:
        _become_init()
        layers |= _namespace_layers(before) | _mount_layer(limits)
    # So far, errors went to the trusted side. From here on, a program could write there.
    os.dup2(1, 2)
    serve(control, limits, layers)


def _enter_namespaces() -> dict[str, str]:
    try:
        namespaces.enter()
    except OSError as error:
        return {"namespaces": str(error)}
    return {"namespaces": IN_FORCE}


def _become_init() -> None:
    """Continue as process 1 of the new PID namespace.

    When process 1 ends, the kernel kills every process in its namespace, so nothing that a program
    starts can outlive the server.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    kernel.die_with_parent()


def _namespace_layers(before: dict[str, int]) -> dict[str, str]:
    """Report each kind of namespace that is not the one of before.

    The numbers are read again because unshare reports success as a whole, not for each kind.
    """
    now = namespaces.identities()
    return {
        f"{kind}_namespace": IN_FORCE
        if kind in now and kind in before and now[kind] != before[kind]
        else "the namespace has not changed"
        for kind in namespaces.KINDS
    }


def _mount_layer(limits: ProgramLimits) -> dict[str, str]:
    try:
        namespaces.build_root(limits.readable)
    except OSError as error:
        return {"mounts": str(error)}
    # The new root has no /proc: with it, a program could read other processes and its own memory
    # maps, and so the addresses of everything.
    return {"mounts": "/proc is still visible" if os.path.exists("/proc") else IN_FORCE}


def serve(control: socket.socket, limits: ProgramLimits, layers: dict[str, str]) -> NoReturn:
    """Start and end programs, one at a time."""
    has_folder = layers.get("mounts") == IN_FORCE
    child = 0
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if order == BEGIN:
            if has_folder:
                # A fresh one for each program: nothing that an earlier one wrote is left.
                namespaces.mount_temporary(limits.disk_mib)
            child = os.fork()
            if child == 0:
                # A process group of its own, so that it can be killed with all its children.
                os.setsid()
                # Otherwise the program could give the server orders.
                control.close()
                run(descriptors[0], limits, layers)
            os.close(descriptors[0])
        elif order == END:
            is_init = layers.get("pid_namespace") == IN_FORCE
            control.send(json.dumps(_end(child, is_init)).encode())
            if has_folder:
                namespaces.unmount_temporary()
        else:
            # An empty message: the trusted side has closed its end.
            os._exit(0)


def _end(child: int, is_init: bool) -> int:
    """Kill a program and everything it started, and return its wait status."""
    status = 0
    # For process 1 of a namespace, -1 means every other process in it, and none outside. Without a
    # namespace, seccomp keeps a program from creating processes; and without any isolation, its
    # process group is all that is known.
    for target in (child, -1 if is_init else -child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
    # Orphans of the program become children of process 1, and have to be reaped here too.
    while True:
        try:
            ended, wait_status = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if ended == child:
            status = wait_status
