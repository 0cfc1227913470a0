"""DeepSpeed's compiled ops, loaded one process at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pacos.cache import cache_directory
from pacos.files import locked

MARK = "lock"
"""File by which torch tells that an op is being built."""


def ops_directory() -> Path:
    """Return the folder of the ops that this Python and this torch have compiled."""
    from torch import __version__

    tag = f"py{sys.version_info.major}{sys.version_info.minor}-torch{__version__}"
    return cache_directory() / "ops" / tag


def load_op(builder: str) -> bool:
    """Load an op, compiled first if this machine has not done so.

    torch's mark outlives a killed process, and every later one then waits for it for ever. Here the
    builds lie in a folder of their own, under a lock that ends with its process: whoever holds it
    knows that no one is building, and that a mark is a dead one's.

    Args:
        builder: name of DeepSpeed's builder, `ShareMemCommBuilder`.

    Returns:
        Whether it is there: not where this accelerator has no such op, or the machine lacks a
        compiler or a library for it.
    """
    root = ops_directory()
    os.environ["TORCH_EXTENSIONS_DIR"] = str(root)
    _find_own_ninja()

    import deepspeed

    op = deepspeed.accelerator.get_accelerator().create_op_builder(builder)
    if op is None or not deepspeed.ops.__compatible_ops__.get(op.NAME, False):
        return False
    with locked(root / "pacos.lock"):
        for mark in root.glob(f"*/{MARK}"):
            mark.unlink()
        op.load(verbose=False)
    return True


def _find_own_ninja() -> None:
    """Let torch find the ninja of this environment: another one builds everything again."""
    scripts, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != scripts:
        os.environ["PATH"] = f"{scripts}{os.pathsep}{path}"
