"""Messages between the trusted process and a program: JSON with a length in front.

Neither side believes the other to be honest: what comes from a program is bounded in size, and is
data whatever it says.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_HEADER = struct.Struct("!I")

MAX_REPLY = 1 << 20
"""Bytes of a message from a program: more is more than any answer to a test."""
MAX_REQUEST = 1 << 26
"""Bytes of a message to a program."""


class EndedError(Exception):
    """The other side ended."""


class LateError(Exception):
    """The deadline passed while the other side was waited for."""


class MalformedError(Exception):
    """What came is no message."""


class Channel:
    """One end of a stream of messages.

    Args:
        descriptor: a stream socket.
        max_size: bytes of a message that this side takes.
        deadline: of `time.monotonic()`, for everything; None waits for ever.
    """

    def __init__(self, descriptor: int, max_size: int, deadline: float | None = None) -> None:
        self._descriptor = descriptor
        self._max_size = max_size
        self.deadline = deadline
        if deadline is not None:
            os.set_blocking(descriptor, False)

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            EndedError: nobody will read it.
            LateError: the other side does not take it.
        """
        data = json.dumps(message).encode()
        left = memoryview(_HEADER.pack(len(data)) + data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError as error:
                raise EndedError from error

    def receive(self) -> Any:
        """Take one message.

        Raises:
            EndedError: the other side ended before a whole message came.
            LateError: no whole message came in time.
            MalformedError: it is too long, or not JSON.
        """
        (size,) = _HEADER.unpack(self._read(_HEADER.size))
        if size > self._max_size:
            raise MalformedError(f"a message of {size} bytes; {self._max_size} are allowed")
        try:
            return json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"a message that is not JSON ({type(error).__name__})") from error

    def _read(self, size: int) -> bytes:
        data = bytearray()
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LateError
        while len(data) < size:
            try:
                part = os.read(self._descriptor, size - len(data))
            except BlockingIOError:
                self._wait(select.POLLIN)
                continue
            except OSError as error:
                raise EndedError from error
            if not part:
                raise EndedError
            data += part
        return bytes(data)

    def _wait(self, event: int) -> None:
        assert self.deadline is not None
        left = self.deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._descriptor, event)
        if left <= 0 or not poll.poll(left * 1000):
            raise LateError
