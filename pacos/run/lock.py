"""A lock file that one process holds, and that others can look at without taking it."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import IO

_FLOCK = "hhqqi4x"
"""C's `struct flock` on 64-bit Linux: type, whence, start, length, pid."""


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    It is an open file description lock (fcntl(2), F_OFD_SETLK), the only kind that fits:

    - flock() has no query. A reader would have to take the lock for a moment, and a run that starts
      in that moment would be refused. /proc/locks lists holders by device and inode numbers, which
      on overlayfs and btrfs are not those of stat().
    - A plain POSIX lock (F_SETLK) can be queried, but is dropped as soon as anything in the process
      closes any descriptor of the file.

    NFS and Lustre handle it as they do POSIX locks, so the lock counts on all nodes of a cluster
    where the file system is mounted with locking. Children started with exec never inherit it,
    because Python opens files with O_CLOEXEC; a forked child shares it, so a killed process counts
    as at work until its forked children are gone, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        """Take the lock, or return False if another process has it."""
        if self._file is None:
            # A write lock needs a descriptor that can write. Appending creates the file, and cuts
            # nothing.
            file = self._path.open("ab")
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
            except BlockingIOError:
                file.close()
                return False
            self._file = file
        return True

    def release(self) -> None:
        """Let another process take the lock."""
        if self._file is not None:
            # Closing alone would leave the lock with forked children, such as data workers.
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _request(fcntl.F_UNLCK))
            self._file.close()
            self._file = None

    def is_taken(self) -> bool:
        """Return True if any process, this one included, has the lock. Takes nothing."""
        if self._file is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK))
        finally:
            os.close(descriptor)
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return kind != fcntl.F_UNLCK


def _request(kind: int) -> bytes:
    """A lock of this kind on the whole file; the kernel wants pid 0."""
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
