"""Namespaces of an unprivileged user, and in them a root that contains only what Python reads.

Many clusters and most containers forbid user namespaces; there, Landlock and seccomp do the work
alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from eval.sandbox.isolation import kernel

KINDS = {
    "user": kernel.CLONE_NEWUSER,
    "pid": kernel.CLONE_NEWPID,
    "net": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "mnt": kernel.CLONE_NEWNS,
}
"""Kinds of namespaces, by their names in /proc/self/ns."""

TEMPORARY = "/box"
"""The private folder, where programs start."""

_STAGE = "/sys"
"""The folder where the new root is assembled: it exists on every Linux and contains no Python."""

_FLAGS = {
    "nosuid": kernel.MS_NOSUID,
    "nodev": kernel.MS_NODEV,
    "noexec": kernel.MS_NOEXEC,
    "noatime": kernel.MS_NOATIME,
    "nodiratime": kernel.MS_NODIRATIME,
    "relatime": kernel.MS_RELATIME,
}
"""Options of a mount that are locked in a user namespace: a remount that drops one fails with
EPERM."""


def identities() -> dict[str, int]:
    """Return the inode of each namespace that this process is in; empty without /proc."""
    inodes = {}
    for kind in KINDS:
        try:
            inodes[kind] = os.stat(f"/proc/self/ns/{kind}").st_ino
        except OSError:
            continue
    return inodes


def enter() -> None:
    """Enter new namespaces of all kinds; only children are in the new PID namespace.

    Raises:
        OSError: the kernel or the site forbids them.
    """
    # The user's own ids, and not 0: files keep their owner, and nothing believes to be root.
    user, group = os.geteuid(), os.getegid()
    flags = 0
    for flag in KINDS.values():
        flags |= flag
    # In one call: the new user namespace grants the capabilities that the other kinds need.
    kernel.unshare(flags)
    for name, line in (
        # Linux 3.19 and later refuse an unprivileged gid_map before setgroups is denied.
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def build_root(readable: Iterable[str]) -> None:
    """Replace this process's root by one that contains only some trees, read-only.

    Args:
        readable: folders or files; missing ones are skipped.

    Raises:
        OSError: mounting is forbidden.
    """
    # Mount events must not travel between this namespace and the machine's.
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("none", _STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    os.mkdir(_STAGE + TEMPORARY)
    for path in _bind_points(readable):
        _bind(path, _STAGE + path)
    # A bind mount ignores MS_RDONLY when it is made, and a recursive one brings the mounts inside
    # it along as they were: each has to be remounted by itself.
    for target, flags in _mounts_below(_STAGE):
        read_only = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount("", target, "", read_only | flags)
    # pivot_root(".", ".") stacks the old root on the new one, and the unmount removes it: there is
    # no folder for it, and no way back (pivot_root(2), notes). A chroot could be escaped.
    os.chdir(_STAGE)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")


def mount_temporary(mebibytes: int) -> None:
    """Mount the private folder: empty, in memory, of a limited size.

    Inodes are limited too: empty files take no space, and would fill the kernel's memory.
    """
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", TEMPORARY, "tmpfs", flags, f"size={mebibytes}m,nr_inodes=1k,mode=0700")


def unmount_temporary() -> None:
    """Unmount the private folder, which frees everything in it."""
    kernel.unmount(TEMPORARY)


def _bind_points(paths: Iterable[str]) -> list[str]:
    """Return the paths and their symlink targets, without those inside another."""
    wanted = {place for path in paths for place in (path, os.path.realpath(path))}
    kept: list[str] = []
    # In sorted order a folder comes before its content, which its recursive mount brings along.
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
    """Return the visible mount at a folder and all mounts inside it, with their locked flags."""
    with open("/proc/self/mountinfo") as lines:
        mounts = [line.split() for line in lines]
    # Several mounts can be stacked on the folder (/sys had one); the newest is the visible one.
    numbers = [next(number for number, _, _, _, place, *_ in mounts[::-1] if place == root)]
    visible = []
    for number, parent, _, _, place, options, *_ in mounts:
        if number in numbers or parent in numbers:
            numbers.append(number)
            # mountinfo writes a space as \040.
            target = place.encode().decode("unicode_escape")
            visible.append((target, sum(_FLAGS.get(option, 0) for option in options.split(","))))
    return visible
