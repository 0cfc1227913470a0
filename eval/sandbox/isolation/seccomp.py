"""Seccomp: the system calls that a program may make; all others fail with EPERM.

The list is what Python needs to compute, import modules and use files. It contains no way to reach
another process, open a socket, start a process or thread, or execute a program file.
"""

from __future__ import annotations

import os
import struct

from eval.sandbox.isolation import kernel

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # name: (number on x86-64, number on aarch64; None if it has no such call)
    # The most frequent calls come first: the filter compares one number after another.
    # Left out on purpose: calls on paths that Landlock does not cover in all its versions, such as
    # truncate, chmod, chown, utime and setxattr, which change files without opening them.
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
    # name: (number on x86-64, number on aarch64, allowed second arguments). Left out on purpose:
    # F_SETOWN and FIOSETOWN, with which a file's readiness sends a signal to any process, and
    # TIOCSTI, which types into a terminal.
    "fcntl": (72, 25, (0, 1, 2, 3, 4, 1030)),  # F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL, …_CLOEXEC
    "ioctl": (16, 29, (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)),  # TCGETS TIOCGWINSZ FIO…
}

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the numbers above, and AUDIT_ARCH_… of linux/audit.h."""

UNKNOWN = 467
"""Lowest number that this list does not know. Such calls get ENOSYS, which makes the C library fall
back to an older call; EPERM would make it fail. On x86-64 the calls of the x32 ABI, which have bit
30 set, fall into this range as well."""

# Opcodes of classic BPF (linux/bpf_common.h): load a word, jump if equal, jump if at least, return.
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24
"""Offsets in struct seccomp_data. Of an argument only the low half is read (both machines are
little-endian): the kernel, too, takes the commands of fcntl and ioctl as 32 bits."""
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050001, 0x00050026


def program(machine: str) -> bytes:
    """Return the filter as BPF instructions.

    Args:
        machine: name of the architecture, as `platform.machine()` returns it.

    Raises:
        OSError: the calls of this architecture are not listed.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"no list of system calls for {machine}")
    column, architecture = ARCHITECTURES[machine]
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        # A 64-bit process can make 32-bit calls, whose numbers mean something else: 11 is munmap on
        # x86-64 and execve on i386.
        _instruction(_EQUAL, architecture, if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, UNKNOWN, if_false=1),
        _instruction(_RETURN, _ENOSYS),
    ]
    for numbers in ALLOWED.values():
        number = numbers[column]
        if number is not None:
            code += [_instruction(_EQUAL, number, if_false=1), _instruction(_RETURN, _ALLOW)]
    for *call, commands in COMMANDS.values():
        # Skips the load, two instructions per command, and the refusal.
        code.append(_instruction(_EQUAL, call[column], if_false=2 + 2 * len(commands)))
        code.append(_instruction(_LOAD, _SECOND_ARGUMENT))
        for command in commands:
            code += [_instruction(_EQUAL, command, if_false=1), _instruction(_RETURN, _ALLOW)]
        code.append(_instruction(_RETURN, _EPERM))
    code.append(_instruction(_RETURN, _EPERM))
    return b"".join(code)


def _instruction(opcode: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one BPF instruction; a jump skips that many instructions."""
    return struct.pack("=HBBI", opcode, if_true, if_false, operand)


def restrict() -> None:
    """Put the filter in force for this process, for good.

    Raises:
        OSError: the kernel refuses, or has no filters.
    """
    kernel.install_filter(program(kernel.MACHINE))
    # kill is not on the list, so even the harmless signal 0 to itself has to fail now.
    try:
        os.kill(os.getpid(), 0)
    except PermissionError:
        return
    raise OSError("seccomp is not in force: a process can signal itself")
