"""DeepSpeed's compiled ops, loaded by one process at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pacos.cache import cache_directory
from pacos.files import locked

BUILD_MARK = "lock"
"""File by which torch marks that an op is being built."""


def ops_directory() -> Path:
    """Return the folder of the ops that this Python and this torch have compiled."""
    from torch import __version__

    tag = f"py{sys.version_info.major}{sys.version_info.minor}-torch{__version__}"
    return cache_directory() / "ops" / tag


def load_op(name: str) -> bool:
    """Load an op; compile it first if this machine has not done so yet.

    torch's mark survives a killed process, and every later process would wait for it forever.
    Therefore the builds lie in a folder of our own, under a lock that the kernel releases with its
    process: whoever holds it knows that nobody is building, and that a mark is left from a dead
    process.

    Args:
        name: DeepSpeed's builder, such as `ShareMemCommBuilder`.

    Returns:
        True if the op is loaded; False if this accelerator has no such op, or the machine lacks a
        compiler or a library for it.
    """
    root = ops_directory()
    os.environ["TORCH_EXTENSIONS_DIR"] = str(root)
    _prefer_own_ninja()

    # DeepSpeed reads the accelerator from the environment when it is imported.
    from sft.engine.private_state import op_builder

    builder = op_builder(name)
    if builder is None:
        return False
    with locked(root / "pacos.lock"):
        for mark in root.glob(f"*/{BUILD_MARK}"):
            mark.unlink()
        builder.load(verbose=False)
    return True


def _prefer_own_ninja() -> None:
    """Put this environment's ninja first: torch rebuilds everything when another one is found."""
    scripts, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != scripts:
        os.environ["PATH"] = f"{scripts}{os.pathsep}{path}"
