"""A finished part of an evaluation is a folder that exists: it is renamed into place when whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacos.files import fsync_folder


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to write into, and rename it to `folder` at the end.

    What a killed process left behind carries the temporary name and is thrown away.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    for file in partial.iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    fsync_folder(partial)
    partial.rename(folder)
    fsync_folder(folder.parent)
