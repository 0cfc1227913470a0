"""Messages between the trusted process and a program: JSON with a length in front.

The trusted side takes nothing for granted: what a program sends is bounded in size and time, and is
parsed as data, never unpickled.
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
"""Largest message from a program, in bytes; no test of a benchmark needs as much."""
MAX_REQUEST = 1 << 26
"""Largest message to a program, in bytes."""


class EndedError(Exception):
    """The other side has closed the channel."""


class DeadlineError(Exception):
    """The deadline passed while waiting for the other side."""


class MalformedError(Exception):
    """The received bytes are not a message."""


class Channel:
    """One end of a stream of messages.

    Args:
        descriptor: a stream socket.
        max_size: largest message to accept, in bytes.
        deadline: value of `time.monotonic()` at which sending and receiving fail; None waits
            forever.
    """

    def __init__(self, descriptor: int, max_size: int, deadline: float | None = None) -> None:
        self._descriptor = descriptor
        self._max_size = max_size
        self.deadline = deadline
        if deadline is not None:
            # A blocking call could not be ended at the deadline.
            os.set_blocking(descriptor, False)

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            EndedError: the other side has ended.
            DeadlineError: the other side does not read it in time.
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
        """Receive one message.

        Raises:
            EndedError: the other side ended before a complete message arrived.
            DeadlineError: no complete message arrived in time.
            MalformedError: the message is too long, or is not JSON.
        """
        (size,) = _HEADER.unpack(self._read(_HEADER.size))
        # Checked before a byte of it is read: the size is the program's claim.
        if size > self._max_size:
            raise MalformedError(f"a message of {size} bytes; the limit is {self._max_size}")
        try:
            return json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"a message that is not JSON ({type(error).__name__})") from error

    def _read(self, size: int) -> bytes:
        data = bytearray()
        # Also when bytes are waiting: a program that sends without pause must still time out.
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise DeadlineError
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
            raise DeadlineError
