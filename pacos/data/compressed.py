"""Files of rows as bytes, decompressed while they are read."""

from __future__ import annotations

import contextlib
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pacos.data.layout import COMPRESSIONS
from pacos.errors import UserError, first_line


def is_compressed(path: Path) -> bool:
    """Return True if the suffix says that the file is compressed."""
    return path.suffix in COMPRESSIONS


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Yield the content of a file, decompressed by its suffix.

    Raises:
        UserError: the file is damaged or cut off. Plain files raise OSError as usual.
    """
    if not is_compressed(path):
        with path.open("rb") as file:
            yield file
        return
    try:
        with _decompressed(path) as file:
            yield file
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UserError(
            f"{path}: cannot be decompressed: {first_line(error)}; was its copy cut off?"
        ) from error


def _decompressed(path: Path) -> Any:
    if path.suffix == ".xz":
        return lzma.open(path)
    # Unlike zstandard and fsspec, pyarrow reads a file of several frames to its end, and refuses
    # one that is cut off instead of ending there without a word.
    import pyarrow

    return pyarrow.input_stream(str(path), compression="detect")
