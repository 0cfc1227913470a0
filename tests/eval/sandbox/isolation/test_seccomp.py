"""The filter, run as the kernel runs it."""

import re
import struct
from pathlib import Path

import pytest

from eval.sandbox.isolation.seccomp import ALLOWED, ARCHITECTURES, COMMANDS, program

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
MACHINES = list(ARCHITECTURES)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
FORBIDDEN = {
    "x86_64": {
        *{"socket": 41, "connect": 42, "clone": 56, "fork": 57, "vfork": 58, "execve": 59}.items(),
        *{"kill": 62, "ptrace": 101, "prctl": 157, "mount": 165, "tkill": 200}.items(),
        *{"unshare": 272, "prlimit64": 302, "process_vm_readv": 310, "memfd_create": 319}.items(),
        *{"io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "symlink": 88}.items(),
    },
    "aarch64": {
        *{"symlinkat": 36, "mount": 40, "ptrace": 117, "kill": 129, "tgkill": 131}.items(),
        *{"prctl": 167, "unshare": 97, "socket": 198, "connect": 203, "clone": 220}.items(),
        *{"execve": 221, "prlimit64": 261, "process_vm_readv": 270, "memfd_create": 279}.items(),
        *{"io_uring_setup": 425, "pidfd_open": 434, "clone3": 435}.items(),
    },
}


def run(code: bytes, architecture: int, number: int, second: int = 0) -> int:
    """What the filter says of a call."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, 0, second, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("=HBBI", code))
    at = accumulator = 0
    while True:
        operation, when, otherwise, value = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return value
        else:
            holds = accumulator == value if operation == 0x15 else accumulator >= value
            at += when if holds else otherwise


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_listed_is_allowed_and_nothing_else(machine: str) -> None:
    code = program(machine)
    column, architecture = ARCHITECTURES[machine]
    listed = {numbers[column] for numbers in ALLOWED.values()} - {None}
    special = {numbers[column] for numbers in COMMANDS.values()}
    allowed = {number for number in range(467) if run(code, architecture, number) == ALLOW}
    assert allowed - special == listed
    others = set(range(467)) - listed - special
    assert {run(code, architecture, number) for number in others} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_what_reaches_others_is_forbidden(machine: str) -> None:
    code = program(machine)
    for _, number in FORBIDDEN[machine]:
        assert run(code, ARCHITECTURES[machine][1], number) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_commands_that_signal_or_type_for_others_are_forbidden(machine: str) -> None:
    code = program(machine)
    column, architecture = ARCHITECTURES[machine]
    fcntl, ioctl = (COMMANDS[name][column] for name in ("fcntl", "ioctl"))
    for number, command, expected in (
        *((fcntl, 3, ALLOW), (fcntl, 8, EPERM), (fcntl, 10, EPERM), (fcntl, 15, EPERM)),
        *((fcntl, 1031, EPERM), (fcntl, 1 << 32, ALLOW), (fcntl, (1 << 32) + 8, EPERM)),
        *((ioctl, 0x5401, ALLOW), (ioctl, 0x5412, EPERM), (ioctl, 0x8901, EPERM)),
    ):
        assert run(code, architecture, number, command) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_newer_calls_do_not_exist_and_other_ways_of_calling_end_the_program(machine: str) -> None:
    code = program(machine)
    _, architecture = ARCHITECTURES[machine]
    for number in (467, 600, 0x40000000, 0x40000000 + 41, -1):
        assert run(code, architecture, number) == ENOSYS
    i386, x32 = 0x40000003, 0
    for other in (i386, x32, *(one for _, one in ARCHITECTURES.values() if one != architecture)):
        assert run(code, other, 0) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernel(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip(f"no {HEADERS[machine]}")
    defined = dict(
        re.findall(r"#define __NR_?(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    )
    defined |= {"newfstatat": defined.get("fstatat", defined.get("newfstatat"))}
    column, _ = ARCHITECTURES[machine]
    ours = {name: numbers[column] for name, numbers in (*ALLOWED.items(), *COMMANDS.items())}
    ours |= dict(FORBIDDEN[machine])
    assert ours == {
        name: None if number is None else int(defined[name]) for name, number in ours.items()
    }
    absent = [name for name, number in ours.items() if number is None]
    assert machine == "x86_64" or not set(absent) & set(defined)


def test_another_machine_is_told() -> None:
    with pytest.raises(OSError, match="no list of system calls for riscv64"):
        program("riscv64")
