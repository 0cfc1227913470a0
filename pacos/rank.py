"""Ranks as the launcher starts them: environment variables and parent. Free of torch."""

from __future__ import annotations

import ctypes
import os
import signal

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
