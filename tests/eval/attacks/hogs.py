"""Each attack takes as much as it can get of one resource, and returns how much that was."""

import ctypes
import mmap
import os
import signal
import sys
import tempfile
import threading
import time

MEBIBYTE = 1 << 20


def _until_refused(take, most):
    taken = []
    try:
        while len(taken) < most:
            taken.append(take())
    except BaseException:
        return len(taken)
    return len(taken)


def memory():
    return _until_refused(lambda: bytearray(16 * MEBIBYTE), 200) * 16


def mapped_memory():
    def take():
        area = mmap.mmap(-1, 16 * MEBIBYTE)
        area[:] = bytes(16 * MEBIBYTE)
        return area

    return _until_refused(take, 200) * 16


def shared_memory():
    def take():
        descriptor = os.memfd_create("hog")
        for _ in range(16):
            os.write(descriptor, bytes(MEBIBYTE))
        return descriptor

    return _until_refused(take, 200) * 16


def disk():
    folder = tempfile.mkdtemp()
    numbers = iter(range(10**6))

    def take():
        with open(os.path.join(folder, str(next(numbers))), "wb") as file:
            file.write(bytes(MEBIBYTE))

    return _until_refused(take, 200)


def sparse_file():
    with tempfile.TemporaryFile() as file:
        file.truncate(300 * MEBIBYTE)
        file.seek(299 * MEBIBYTE)
        file.write(b"x")
    return 300


def files():
    folder = tempfile.mkdtemp()
    numbers = iter(range(10**6))
    return _until_refused(
        lambda: open(os.path.join(folder, str(next(numbers))), "wb").close(), 5000
    )


def processes():
    """A fork bomb whose children wait."""

    def take():
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)

    return _until_refused(take, 500)


def processes_from_c():
    libc = ctypes.CDLL(None)

    def take():
        child = libc.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        if child < 0:
            raise OSError

    return _until_refused(take, 500)


def threads():
    stop = threading.Event()
    return _until_refused(lambda: threading.Thread(target=stop.wait, daemon=True).start(), 500)


def descriptors():
    return _until_refused(lambda: os.open(os.devnull, os.O_RDONLY), 5000)


def sessions():
    """Children that leave their parent, their group and their session."""

    def take():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)

    return _until_refused(take, 20)


# The remaining attacks never return.


def time_in_a_loop():
    while True:
        pass


def time_in_c():
    return 10 ** (10**9)


def time_asleep():
    time.sleep(3600)


def time_deaf_to_signals():
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    while True:
        pass


def time_catching_all():
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def output():
    while True:
        sys.stdout.write("x" * MEBIBYTE)
        sys.stderr.write("x" * MEBIBYTE)


def answer():
    return "x" * (200 * MEBIBYTE)


def deep_answer():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def endless_answer():
    return iter(int, 1)


def stack():
    sys.setrecursionlimit(10**9)

    def down():
        return [*map(lambda _: down(), [0])]

    return down()
