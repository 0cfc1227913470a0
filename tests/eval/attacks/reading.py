"""Each attack returns the content of a file outside the sandbox."""

import ctypes
import importlib.machinery
import mmap
import os
import subprocess
import tempfile


def open_it(path):
    with open(path) as file:
        return file.read()


def open_it_raw(path):
    return os.read(os.open(path, os.O_RDONLY), 1000)


def open_it_from_c(path):
    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(1000)
    libc.read(libc.open(path.encode(), 0), buffer, 999)
    return buffer.value


def open_it_from_the_root(path):
    root = os.open("/", os.O_PATH)
    return os.read(os.open(path.lstrip("/"), os.O_RDONLY, dir_fd=root), 1000)


def climb_up(path):
    return open_it("../" * 20 + path.lstrip("/"))


def climb_up_from_the_library(path):
    return open_it(os.path.dirname(os.__file__) + "/.." * 20 + path)


def through_proc_root(path):
    return open_it(f"/proc/self/root{path}")


def through_roots_of_others(path):
    for name in os.listdir("/proc"):
        try:
            return open_it(f"/proc/{name}/root{path}")
        except OSError:
            continue


def through_a_symbolic_link(path):
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(path, link)
    return open_it(link)


def through_a_hard_link(path):
    link = os.path.join(os.path.dirname(path), "link")
    os.link(path, link)
    return open_it(link)


def mapped(path):
    with open(path) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:]


def as_a_module(path):
    return importlib.machinery.SourceFileLoader("it", path).get_data(path)


def by_another_program(path):
    return subprocess.run(["/bin/cat", path], capture_output=True, check=True).stdout


def by_a_shell(path):
    return os.popen(f"cat {path}").read()


def copied_by_the_kernel(path):
    target = os.path.join(tempfile.mkdtemp(), "copy")
    source = os.open(path, os.O_RDONLY)
    os.sendfile(os.open(target, os.O_CREAT | os.O_WRONLY), source, 0, 1000)
    return open_it(target)
