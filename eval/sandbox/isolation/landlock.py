"""Landlock: a process restricts its own access to files, for good (Linux 5.13)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from eval.sandbox.isolation import kernel

# LANDLOCK_ACCESS_FS_… of linux/landlock.h.
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14

_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All file rights by the ABI version that introduced the newest of them: 1 (Linux 5.13), 2 (5.19,
moving between folders), 3 (6.2, truncation), 5 (6.10, device ioctls)."""
_NETWORK_RIGHTS = 0b11
"""TCP bind and connect, from version 4 (Linux 6.7)."""
_SCOPES = 0b11
"""Abstract unix sockets and signals that leave the sandbox, from version 6 (Linux 6.12)."""

_READ = _READ_FILE | _READ_DIR
_CHANGE = (
    _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE | _READ
)
"""Rights in the temporary folder. Execution, links, sockets, pipes and devices are granted
nowhere."""
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Rights that a rule on a file may name; the kernel rejects the rights of folders there."""


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Let this process read some trees, change others, and touch nothing else.

    Args:
        readable: folders or files; missing ones are skipped.
        writable: likewise.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = kernel.landlock_version()
    # A handled right is denied wherever no rule grants it. An older kernel rejects rights that it
    # does not know, so all rights of its version are handled, and no others.
    handled = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", _NETWORK_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = kernel.landlock_ruleset(attributes)
    for rights, paths in ((_READ, readable), (_CHANGE, writable)):
        for path in paths:
            _allow(ruleset, path, rights & handled)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)
    _check()


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= _OF_FILES
    # The struct is packed: 8 bytes of rights and 4 of the descriptor, without padding.
    kernel.landlock_allow(ruleset, struct.pack("=Qi", rights, descriptor))
    os.close(descriptor)


def _check() -> None:
    """Check that the root folder, which no rule names, can no longer be opened."""
    try:
        descriptor = os.open("/", os.O_RDONLY)
    except PermissionError:
        return
    os.close(descriptor)
    raise OSError("landlock is not in force: / can be read")
