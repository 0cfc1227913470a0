"""What a launcher tells its processes. Free of torch."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2)."""

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def is_rank() -> bool:
    """Whether a launcher started this process as one of its ranks."""
    return all(name in os.environ for name in RANK_VARIABLES)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal as soon as the one that started it is gone.

    Ranks have sessions of their own, so that nothing else would end them with their launcher. It
    is the parent's thread that counts: start such processes from one that lasts.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
