"""Namespaces of an unprivileged user, and in them a root folder that holds only what Python reads.

Many clusters forbid user namespaces; then Landlock and seccomp have to do without.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from eval.sandbox.walls import kernel

KINDS = {
    "user": kernel.CLONE_NEWUSER,
    "pid": kernel.CLONE_NEWPID,
    "net": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "mnt": kernel.CLONE_NEWNS,
}
"""Namespaces under the names of /proc/self/ns."""

TEMPORARY = "/box"
"""The private folder, which programs start in."""

_STAGE = "/sys"
"""Where the new root is put together: a folder that each Linux has and no Python lies in."""

_FLAGS = {
    "nosuid": kernel.MS_NOSUID,
    "nodev": kernel.MS_NODEV,
    "noexec": kernel.MS_NOEXEC,
    "noatime": kernel.MS_NOATIME,
    "nodiratime": kernel.MS_NODIRATIME,
    "relatime": kernel.MS_RELATIME,
}
"""Options of a mount that one in a user namespace has to keep."""


def identities() -> dict[str, int]:
    """The number of each namespace that this process is in; none without /proc."""
    found = {}
    for kind in KINDS:
        try:
            found[kind] = os.stat(f"/proc/self/ns/{kind}").st_ino
        except OSError:
            continue
    return found


def enter() -> None:
    """Enter new namespaces, all or none; of processes, only children are in the new one.

    Raises:
        OSError: the kernel or the site forbids them.
    """
    user, group = os.geteuid(), os.getegid()
    flags = 0
    for flag in KINDS.values():
        flags |= flag
    kernel.unshare(flags)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def build_root(readable: Iterable[str]) -> None:
    """Make a root folder of read-only mounts of some trees, and nothing else, that of this process.

    Args:
        readable: folders or files; absent ones are passed over.

    Raises:
        OSError: mounting is forbidden.
    """
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("none", _STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    os.mkdir(_STAGE + TEMPORARY)
    for path in _places(readable):
        _bind(path, _STAGE + path)
    for target, flags in _mounts_below(_STAGE):
        read_only = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount("", target, "", read_only | flags)
    os.chdir(_STAGE)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")


def mount_temporary(mebibytes: int) -> None:
    """Make the private folder: empty, in memory, of a limited size."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", TEMPORARY, "tmpfs", flags, f"size={mebibytes}m,nr_inodes=1k,mode=0700")


def unmount_temporary() -> None:
    """Take the private folder away, with what is in it."""
    kernel.unmount(TEMPORARY)


def _places(paths: Iterable[str]) -> list[str]:
    """Where to mount: each path, where it leads by symbolic links too, none inside another."""
    wanted = {place for path in paths for place in (path, os.path.realpath(path))}
    kept: list[str] = []
    for place in sorted(filter(os.path.exists, wanted)):
        if not any(place.startswith(f"{above}/") for above in kept):
            kept.append(place)
    return kept


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)


def _mounts_below(root: str) -> list[tuple[str, int]]:
    """The mount at a folder and all inside it, and their flags; none that they hide."""
    with open("/proc/self/mountinfo") as lines:
        mounts = [line.split() for line in lines]
    # The newest of those at the folder is the one that is seen.
    numbers = [next(number for number, _, _, _, place, *_ in mounts[::-1] if place == root)]
    found = []
    for number, parent, _, _, place, options, *_ in mounts:
        if number in numbers or parent in numbers:
            numbers.append(number)
            target = place.encode().decode("unicode_escape")
            found.append((target, sum(_FLAGS.get(option, 0) for option in options.split(","))))
    return found
