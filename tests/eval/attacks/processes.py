"""Each attack harms another process, or reads or writes its memory.

The victim waits on its standard input. `address` is that of 64 bytes in its memory.
"""

import ctypes
import fcntl
import os
import resource
import signal
import stat
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)


def kill(pid, address):
    os.kill(pid, signal.SIGKILL)


def kill_from_c(pid, address):
    LIBC.kill(pid, signal.SIGKILL)


def stop(pid, address):
    os.kill(pid, signal.SIGSTOP)


def kill_thread(pid, address):
    LIBC.syscall(234 if os.uname().machine == "x86_64" else 131, pid, pid, signal.SIGKILL)


def kill_by_descriptor(pid, address):
    signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)


def kill_by_input(pid, address):
    """A pipe with O_ASYNC signals its owner, any process, when there is something to read."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, pid)
    fcntl.fcntl(reader, 10, signal.SIGKILL)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")
    time.sleep(0.05)


def change_limits(pid, address):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))


def slow_down(pid, address):
    os.setpriority(os.PRIO_PROCESS, pid, 19)


def trace(pid, address):
    poke, attach = 4, 16
    if LIBC.ptrace(attach, pid, None, None) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    word = struct.unpack("Q", b"changed\0")[0]
    LIBC.ptrace(poke, pid, ctypes.c_void_p(address), ctypes.c_void_p(word))


def read_memory(pid, address):
    buffer = ctypes.create_string_buffer(64)
    local = struct.pack("QQ", ctypes.addressof(buffer), 64)
    LIBC.process_vm_readv(pid, local, 1, struct.pack("QQ", address, 64), 1, 0)
    return buffer.raw


def read_memory_file(pid, address):
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(address)
        return memory.read(64)


def write_memory(pid, address):
    buffer = ctypes.create_string_buffer(b"changed", 64)
    local = struct.pack("QQ", ctypes.addressof(buffer), 64)
    LIBC.process_vm_writev(pid, local, 1, struct.pack("QQ", address, 64), 1, 0)


def write_memory_file(pid, address):
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(b"changed")


def read_environment(pid, address):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def read_environments(pid, address):
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                found.append(file.read())
        except OSError:
            continue
    return b"".join(found)[-900_000:]


def read_descriptors(pid, address):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                found.append(file.read(64))
    return found
