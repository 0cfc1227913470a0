"""Digests of files, remembered so that a large file is not read again at every start."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from pacos.cache import cache_directory
from pacos.files import read_json, sha256, write_json

SETTLED_SECONDS = 2.0
"""Age from which a file's time of change is trusted: file systems count it in steps of up to 2 s
(FAT, some network disks), so that a later write might not change it."""
LEAST_BYTES = 2**24
"""Size from which a digest is remembered; a smaller file is read in 30 ms."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex.

    A remembered digest is used as long as path, size, inode and times of the file stay the same.
    """
    status = path.stat()
    if status.st_size < LEAST_BYTES:
        return sha256(path)
    # ctime too: a copy that keeps mtime (cp -p, rsync) still changes it.
    state = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
    memory = cache_directory() / "digests" / f"{name}.json"
    try:
        known = read_json(memory)
        if known["state"] == state:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    now = time.time()
    digest = sha256(path)
    if now - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
        write_json(memory, {"state": state, "sha256": digest})
    return digest
