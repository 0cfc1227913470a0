"""Ranks as the launcher starts them: environment variables, port and parent. Free of torch."""

from __future__ import annotations

import ctypes
import os
import signal
import socket

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal that a process gets when its parent dies."""

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def is_rank() -> bool:
    """Return True if a launcher started this process as one of its ranks."""
    return all(name in os.environ for name in RANK_VARIABLES)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal as soon as its parent is gone.

    Ranks run in sessions of their own, so nothing else ends them when their launcher is killed. The
    kernel watches the thread that started the process: start such processes from one that lasts.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def free_port() -> int:
    """Return a TCP port that is free now; another process can still take it before it is bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
