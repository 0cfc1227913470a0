"""System calls that Python does not offer; each raises OSError if the kernel refuses."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal

MACHINE = platform.machine()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# Constants of the kernel's headers: linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h
# and linux/landlock.h. They are part of the kernel's ABI and never change.
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
_MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

# The C library wraps neither of these calls. From 424 on, a call has one number everywhere.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1


def unshare(flags: int) -> None:
    """Enter new namespaces, named by CLONE_NEW… flags.

    A new PID namespace is entered by this process's children only.
    """
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system of a kind, or with MS_BIND the tree at `source`, on `target`."""
    texts = [text.encode() if text else None for text in (source, target, kind, options)]
    result = _libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount at once, even if files in it are open."""
    _checked(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace, and move the old root to `old`."""
    number = ctypes.c_long(_PIVOT_ROOT[MACHINE])
    _checked(_libc.syscall(number, new.encode(), old.encode()), "pivot_root")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that created it ends.

    The setting is not inherited: every forked process has to call this itself.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit(kind: int, value: int) -> None:
    """Lower a resource limit (RLIMIT_…) for good; a lower limit in force stays.

    The hard limit is lowered too, so the process cannot raise it again without privileges.
    """
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    resource.setrlimit(kind, (value, value))


def forbid_new_privileges() -> None:
    """Keep this process and its children from gaining rights, such as by setuid programs.

    An unprivileged process needs this before it may use seccomp filters or Landlock.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if _libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise OSError("no_new_privs is not in force")


def drop_capabilities() -> None:
    """Drop all capabilities: those of root, and those that a user namespace grants."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable sets, in two halves of 32 bits.
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    left = (ctypes.c_uint32 * 6)()
    _checked(_libc.capget(header, left), "capget")
    if any(left):
        raise OSError("capabilities are still there")


def install_filter(program: bytes) -> None:
    """Put a seccomp filter in force for good; call `forbid_new_privileges` first.

    Args:
        program: BPF instructions of 8 bytes each.
    """

    class SockFprog(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    argument = SockFprog(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(argument))


def landlock_version() -> int:
    """Return the version of Landlock's ABI.

    Raises:
        OSError: the kernel is older than 5.13, or has Landlock disabled.
    """
    flag = ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION)
    return _landlock(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), flag)


def landlock_ruleset(attributes: bytes) -> int:
    """Create a ruleset from a struct landlock_ruleset_attr, and return its descriptor."""
    size = ctypes.c_size_t(len(attributes))
    return _landlock(_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint32(0))


def landlock_allow(ruleset: int, rule: bytes) -> None:
    """Add a rule (struct landlock_path_beneath_attr) to a ruleset."""
    kind = ctypes.c_int(_LANDLOCK_RULE_PATH_BENEATH)
    _landlock(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint32(0))


def landlock_restrict(ruleset: int) -> None:
    """Put a ruleset in force for good; call `forbid_new_privileges` first."""
    _landlock(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def _landlock(number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), "landlock")


def _prctl(option: int, value: object, *more: object) -> None:
    # prctl is variadic and reads unsigned longs. ctypes would pass a Python int as a 32-bit int,
    # and leave the upper half of the register undefined.
    values = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in (value, *more)]
    unused = [ctypes.c_ulong(0)] * (4 - len(values))
    _checked(_libc.prctl(option, *values, *unused), f"prctl {option}")


def _checked(result: int, call: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result
