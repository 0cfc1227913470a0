"""A request to stop, followed by all ranks at the same place of the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch

from pacos.distributed import World
from pacos.run.stop import Stopped, StopRequest
from sft.monitor.watchdog import Watchdog


class Stopping:
    """What any rank was asked, for all ranks."""

    def __init__(
        self, request: StopRequest, world: World, device: torch.device, watchdog: Watchdog
    ) -> None:
        self.request = request
        self._world = world
        self._device = device
        self._watchdog = watchdog

    def is_asked(self) -> bool:
        """Whether this rank was asked."""
        return self.request.reason() is not None

    def reason(self, place: str, at_least: float) -> str | None:
        """Why this rank was asked to stop; None to go on.

        Args:
            place: what this rank is doing.
            at_least: seconds for which it may do so in any case before it asks again.
        """
        self._watchdog.beat(place, at_least)
        return self.request.reason()

    def stop(self) -> NoReturn:
        """Stop, once all ranks know that one was asked.

        Raises:
            Stopped: with the reason, as far as this rank knows it.
        """
        known = self.request.reason(at_once=True)
        raise Stopped(known or "another rank was asked to stop")

    def check(self, place: str) -> None:
        """Go on, or not; every rank calls it at the same place, and waits for the others.

        Args:
            place: what the ranks are doing.

        Raises:
            Stopped: on every rank, if one was asked.
        """
        self._watchdog.beat(place)
        if self._world.any(self.is_asked(), self._device):
            self.stop()

    @contextmanager
    def afterwards(self, place: str) -> Iterator[None]:
        """Work that each rank does by itself, and that one may leave by Stopped: then all stop."""
        try:
            yield
        except Stopped:
            self.check(place)
            raise
        self.check(place)
