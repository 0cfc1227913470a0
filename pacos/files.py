"""Files that survive a crash: written completely or not at all, appended to line by line."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write to a temporary name in the same folder, fsync, rename into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(
    folder: Path, *, partial: Path | None = None, replaces: bool = False
) -> Iterator[Path]:
    """Yield a new folder beside this one to write into; fsync and rename it into place at the end.

    So the folder is either complete or missing, whatever kills the process. If the body raises,
    what it wrote is removed; after a kill the next call removes it. Two writers must not use the
    same partial folder at once: hold a lock, or give each its own.

    Args:
        folder: the folder to create; its parents are created, too.
        partial: where to write until then, on the same file system; None takes a hidden sibling.
        replaces: whether to remove an existing folder first. Otherwise the rename fails if there
            is one that is not empty.
    """
    partial = partial or folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
        if replaces:
            # A rename cannot replace a folder that is not empty. A kill right here loses the old
            # one, so replace only what can be made again.
            shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        _fsync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process of this machine enter at a time. The lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_folder_once(
    folder: Path, build: Callable[[Path], None], files: Collection[str] = ()
) -> None:
    """Build a folder of the cache if it is missing; other processes of this machine wait.

    Args:
        folder: the folder to ensure.
        build: fills the empty folder that it is given.
        files: some of its files. If one is missing, it is built anew: clusters purge old files.
    """
    # Machines may share the cache on a disk whose locks hold on one machine only (NFS and Lustre
    # can be mounted so). Each therefore locks and writes under a name of its own: in a common
    # partial folder one would delete what the other is writing.
    host = platform.node()
    with locked(folder.with_name(f"{folder.name}.{host}.lock")):
        if holds(folder, files):
            return
        try:
            partial = folder.with_name(f"{folder.name}.{host}.tmp")
            with atomic_folder(folder, partial=partial, replaces=folder.is_dir()):
                build(partial)
        except OSError:
            # Another machine may have been faster; its folder is as good.
            if not holds(folder, files):
                raise


def holds(folder: Path, files: Collection[str]) -> bool:
    """Return True if a folder exists with these files."""
    return folder.is_dir() and all((folder / name).is_file() for name in files)


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    _fsync(folder)


def _fsync(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write one value, indented for people, atomically."""
    atomic_write(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def json_line(record: Mapping[str, Any]) -> str:
    """Return one record as a line of a JSONL file."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write all records of a JSONL file atomically."""
    atomic_write(path, "".join(json_line(record) for record in records))


def append_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append complete lines and fsync. A torn last line left by a crash is cut off first.

    Raises:
        OSError: the records cannot be written; then none of them is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json_line(record) for record in records).encode()
    # Unbuffered: a buffer would retry a failed write when the file is closed, after the truncation.
    with path.open("ab+", buffering=0) as file:
        descriptor = file.fileno()
        size = _cut_torn_line(descriptor)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise


def _cut_torn_line(descriptor: int) -> int:
    """Cut off what follows the last newline; return the size that is left."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        block = os.pread(descriptor, end - start, start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
    return end


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file: none if it does not exist, and never a torn last line.

    Raises:
        ValueError: a complete line is not JSON; the message names the file and the line.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                # The last line is complete if only its newline is missing (a hand-edited file).
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not JSON ({error})") from error


def sha256(path: Path) -> str:
    """Return the hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
