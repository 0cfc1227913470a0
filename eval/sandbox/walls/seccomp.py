"""Seccomp: the system calls that a program may make; all others fail with EPERM.

The list is what Python needs to compute, to import, and to use files. There is no way to another
process, to a socket, to a new process or thread, or to a program file.
"""

from __future__ import annotations

import os
import struct

from eval.sandbox.walls import kernel

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # Not among them: what Landlock does not watch in all its versions, such as truncate and chmod.
    # name: number on x86-64, number on aarch64 (None: it has no such call)
    "read": (0, 63),
    "write": (1, 64),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "brk": (12, 214),
    "newfstatat": (262, 79),
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "openat": (257, 56),
    "open": (2, None),
    "close": (3, 57),
    "lseek": (8, 62),
    "getdents64": (217, 61),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
}

COMMANDS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    # Number on x86-64, number on aarch64, allowed second arguments. Not among them: F_SETOWN and
    # FIOSETOWN, by which a file's readiness sends a signal to any process, and TIOCSTI.
    "fcntl": (72, 25, (0, 1, 2, 3, 4, 1030)),  # F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL, …_CLOEXEC
    "ioctl": (16, 29, (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)),  # TCGETS TIOCGWINSZ FIO…
}

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the numbers above, and AUDIT_ARCH_…."""

UNKNOWN = 467
"""From this number on calls are newer than the list: ENOSYS makes the C library use older ones."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24
"""Offsets in struct seccomp_data; the low half of an argument, on little-endian machines."""
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050001, 0x00050026


def program(machine: str) -> bytes:
    """The filter as BPF instructions.

    Args:
        machine: as `platform.machine()` says it.

    Raises:
        OSError: the calls of this machine are not listed.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"no list of system calls for {machine}")
    column, architecture = ARCHITECTURES[machine]
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        # A program of another architecture counts its calls in another way.
        _instruction(_EQUAL, architecture, when=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, UNKNOWN, otherwise=1),
        _instruction(_RETURN, _ENOSYS),
    ]
    for numbers in ALLOWED.values():
        number = numbers[column]
        if number is not None:
            code += [_instruction(_EQUAL, number, otherwise=1), _instruction(_RETURN, _ALLOW)]
    for *call, commands in COMMANDS.values():
        # Past the load, two instructions a command, and the refusal.
        code.append(_instruction(_EQUAL, call[column], otherwise=2 + 2 * len(commands)))
        code.append(_instruction(_LOAD, _SECOND_ARGUMENT))
        for command in commands:
            code += [_instruction(_EQUAL, command, otherwise=1), _instruction(_RETURN, _ALLOW)]
        code.append(_instruction(_RETURN, _EPERM))
    code.append(_instruction(_RETURN, _EPERM))
    return b"".join(code)


def _instruction(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    """One BPF instruction: what to do, how many to skip if it holds, if not, and an operand."""
    return struct.pack("=HBBI", code, when, otherwise, value)


def restrict() -> None:
    """Put the filter in force for this process, for good.

    Raises:
        OSError: the kernel refuses, or has no filters.
    """
    kernel.install_filter(program(kernel.MACHINE))
    try:
        os.kill(os.getpid(), 0)
    except PermissionError:
        return
    raise OSError("seccomp did not hold: a process can signal itself")
