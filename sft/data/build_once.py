"""A folder that one process of a machine makes while the others wait for it to appear.

They wait by looking, not in a collective: that would end the run where the work takes longer than
the collective's time-out.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import atomic_write, fsync_folder, locked
from pacos.run.stop import Check, Stopped, go_on

POLL_SECONDS = 0.1


def made_once(
    folder: Path, make: Callable[[Path], None], world: World, check: Check = go_on
) -> None:
    """See to it that the folder is there, whole.

    The first rank of the machine makes it if need be, under a lock that keeps other runs of the
    machine out; it is written under another name and renamed. Where that fails, its words reach
    the other ranks in a file that carries the number of their common parent, the launcher.

    Args:
        folder: where it has to be.
        make: writes the content into the empty folder that it is given.
        world: this process among its ranks.
        check: called while waiting; `make` sees to it by itself.

    Raises:
        UserError: on the other ranks, if `make` raised.
        Stopped: on the ranks that know of a request to stop.
    """
    host = platform.node()
    failure = folder.with_name(f"{folder.name}.{host}.{os.getppid()}.failed")
    if world.local_rank != 0:
        _wait(folder, failure, check)
        return
    failure.unlink(missing_ok=True)
    with locked(folder.with_name(f"{folder.name}.{host}.lock")):
        if not folder.is_dir():
            try:
                _make(folder, make, folder.with_name(f"{folder.name}.{host}.tmp"))
            except Stopped:
                raise
            except BaseException as error:
                if world.size > 1:
                    atomic_write(failure, str(error))
                raise


def _make(folder: Path, make: Callable[[Path], None], partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        make(partial)
        fsync_folder(partial)
        try:
            partial.rename(folder)
        except OSError:
            # Another machine that shares the disk may have been faster: its folder is as good.
            if not folder.is_dir():
                raise
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _wait(folder: Path, failure: Path, check: Check) -> None:
    while not folder.is_dir():
        check()
        if failure.is_file():
            raise UserError(failure.read_text(encoding="utf-8"))
        time.sleep(POLL_SECONDS)
