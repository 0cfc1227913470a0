"""System calls that Python does not offer; each raises OSError where the kernel refuses."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal

MACHINE = platform.machine()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

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

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1


def unshare(flags: int) -> None:
    """Leave the namespaces named by CLONE_NEW…; of processes only children enter the new one."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system of a kind, or with MS_BIND what is at `source`, on `target`."""
    texts = [text.encode() if text else None for text in (source, target, kind, options)]
    done = _libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
    _checked(done, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Take a mount away at once, even where a file in it is open."""
    _checked(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace, and put the old root at `old`."""
    number = ctypes.c_long(_PIVOT_ROOT[MACHINE])
    _checked(_libc.syscall(number, new.encode(), old.encode()), "pivot_root")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that made it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit(kind: int, value: int) -> None:
    """Lower a limit (RLIMIT_…) for good; one that is lower already stays."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    resource.setrlimit(kind, (value, value))


def forbid_new_privileges() -> None:
    """No program started from here on gains rights, such as by setuid."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if _libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise OSError("no_new_privs did not hold")


def drop_capabilities() -> None:
    """Give up what a user namespace, or being root, allows."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    left = (ctypes.c_uint32 * 6)()
    _checked(_libc.capget(header, left), "capget")
    if any(left):
        raise OSError("capabilities did not go")


def install_filter(program: bytes) -> None:
    """Put a seccomp filter in force, for good; needs `forbid_new_privileges` before.

    Args:
        program: BPF instructions of 8 bytes each.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    filtered = Program(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filtered))


def landlock_version() -> int:
    """Version of Landlock's interface.

    Raises:
        OSError: the kernel is older than 5.13, or has it switched off.
    """
    flag = ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION)
    return _landlock(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), flag)


def landlock_ruleset(attributes: bytes) -> int:
    """Descriptor of a new ruleset (struct landlock_ruleset_attr)."""
    size = ctypes.c_size_t(len(attributes))
    return _landlock(_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint32(0))


def landlock_allow(ruleset: int, rule: bytes) -> None:
    """Add a rule (struct landlock_path_beneath_attr)."""
    kind = ctypes.c_int(_LANDLOCK_RULE_PATH_BENEATH)
    _landlock(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint32(0))


def landlock_restrict(ruleset: int) -> None:
    """Put a ruleset in force, for good; needs `forbid_new_privileges` before."""
    _landlock(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def _landlock(number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), "landlock")


def _prctl(option: int, value: object, *more: object) -> None:
    # In an ABI of variable arguments an int is passed as one only; prctl(2) takes unsigned longs.
    given = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in (value, *more)]
    unused = [ctypes.c_ulong(0)] * (4 - len(given))
    _checked(_libc.prctl(option, *given, *unused), f"prctl {option}")


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
