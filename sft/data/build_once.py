"""A folder that one process per machine builds while the others wait for it.

The waiting ranks poll the file system instead of entering a collective: tokenizing a large data set
takes longer than a collective's timeout, which would end the run.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Collection
from pathlib import Path

from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import atomic_write, build_folder_once, holds
from pacos.run.stop import NEVER_STOP, StopCheck, Stopped

POLL_SECONDS = 0.1


def build_once(
    folder: Path,
    build: Callable[[Path], None],
    world: World,
    stop: StopCheck = NEVER_STOP,
    files: Collection[str] = (),
) -> None:
    """Ensure the folder exists and is complete.

    Local rank 0 builds it if it is missing, under a lock that keeps out other runs on this machine.
    The folder is built under a temporary name and renamed into place. If the build fails, its error
    message reaches the other ranks in a file named after their common parent process, the launcher,
    so that they never read the failure of another run.

    Args:
        folder: the folder to ensure.
        build: fills the empty folder that it is given.
        world: this process among its ranks.
        stop: asked while waiting; `build` asks by itself.
        files: some of its files. If one is missing, the folder is built anew.

    Raises:
        UserError: on the waiting ranks, if `build` raised.
        Stopped: on the ranks that have seen a stop request.
    """
    # Named after the node, too: the cache may lie on a disk that machines share.
    failure = folder.with_name(f"{folder.name}.{platform.node()}.{os.getppid()}.failed")
    if world.local_rank != 0:
        _wait(folder, files, failure, stop)
        return
    failure.unlink(missing_ok=True)
    try:
        build_folder_once(folder, build, files)
    except Stopped:
        raise
    except BaseException as error:
        if world.size > 1:
            atomic_write(failure, str(error))
        raise


def _wait(folder: Path, files: Collection[str], failure: Path, stop: StopCheck) -> None:
    while not holds(folder, files):
        stop.check()
        if failure.is_file():
            raise UserError(failure.read_text(encoding="utf-8"))
        time.sleep(POLL_SECONDS)
