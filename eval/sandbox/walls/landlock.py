"""Landlock: which files a process may touch, decided by itself and for good (Linux 5.13)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from eval.sandbox.walls import kernel

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14

_FILES_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights to files that each version began to handle; those in between handle as many."""
_NETWORK = 0b11
"""TCP bind and connect, from version 4."""
_SCOPES = 0b11
"""Abstract unix sockets and signals to outside, from version 6."""

_READ = _READ_FILE | _READ_DIR
_CHANGE = (
    _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE | _READ
)
"""No links, sockets, pipes or devices."""
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Rights that a rule on a file, not a folder, may name."""


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Let this process read some trees, change others, and touch nothing else.

    Args:
        readable: folders or files; absent ones are passed over.
        writable: likewise.

    Raises:
        OSError: there is no Landlock here.
    """
    version = kernel.landlock_version()
    handled = _FILES_OF_VERSION[max(known for known in _FILES_OF_VERSION if known <= version)]
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", _NETWORK)
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
    kernel.landlock_allow(ruleset, struct.pack("=Qi", rights, descriptor))
    os.close(descriptor)


def _check() -> None:
    """The root folder is among no rules and readable by everybody else."""
    try:
        descriptor = os.open("/", os.O_RDONLY)
    except PermissionError:
        return
    os.close(descriptor)
    raise OSError("landlock did not hold: / can be read")
