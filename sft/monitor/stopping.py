"""The stop requests of all ranks as one, followed by every rank at the same place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import torch

from pacos.distributed import World
from pacos.run.stop import LEAST_RESERVE, Stopped, StopRequest
from sft.monitor.watchdog import Watchdog


class CollectiveStop:
    """Ends the work of all ranks if any of them was asked to stop.

    A rank that left a loop alone would leave the others waiting in their next collective. So ranks
    only stop at places where they have agreed to, in a collective that all of them reach.
    """

    def __init__(
        self, request: StopRequest, world: World, device: torch.device, watchdog: Watchdog
    ) -> None:
        self._request = request
        self._world = world
        self._device = device
        self._watchdog = watchdog

    @property
    def is_requested(self) -> bool:
        """True if this rank was asked. The others may not know yet."""
        return self._request.reason() is not None

    def reserve(self, seconds: float) -> None:
        """Set how long a step and a checkpoint take, to stop in time before a job's limit.

        Twice that, because the next ones may be slower than any before.
        """
        self._request.reserve(LEAST_RESERVE + 2 * seconds)

    def stop(self) -> NoReturn:
        """Stop, now that all ranks know that one was asked.

        Raises:
            Stopped: with the reason if this rank knows it.
        """
        reason = self._request.reason(at_once=True)
        raise Stopped(reason or "another rank was asked to stop")

    def during(self, place: str, at_least: float = 0.0) -> PlaceStop:
        """Return the `StopCheck` of a loop.

        Args:
            place: the loop's name in the watchdog's reports.
            at_least: seconds that the watchdog allows from one question to the next in any case.
        """
        return PlaceStop(self, place, at_least)

    def reason_at(self, place: str, at_least: float) -> str | None:
        """Return the reason for which this rank was asked to stop; None to go on."""
        self._watchdog.beat(place, at_least)
        return self._request.reason()

    def check_at(self, place: str, at_least: float) -> None:
        """Let all ranks agree to go on or to stop; every rank calls it at the same place.

        Raises:
            Stopped: on every rank, if any was asked.
        """
        self._watchdog.beat(place, at_least)
        if self._world.any(self.is_requested, self._device):
            self.stop()

    @contextmanager
    def agreed_after(self, place: str) -> Iterator[None]:
        """Let all ranks agree after work that each does alone, and that one may leave by Stopped.

        Raises:
            Stopped: on every rank, if any was asked.
        """
        try:
            yield
        except Stopped:
            self.check_at(place, 0.0)
            raise
        self.check_at(place, 0.0)


@dataclass(frozen=True, slots=True)
class PlaceStop:
    """`CollectiveStop` in one loop: a `StopCheck` that is also a sign of life to the watchdog."""

    stop: CollectiveStop
    place: str
    at_least: float

    def reason(self) -> str | None:
        """Return the reason for which this rank was asked; it need not be the others'."""
        return self.stop.reason_at(self.place, self.at_least)

    def check(self) -> None:
        """Let all ranks agree; every rank calls it.

        Raises:
            Stopped: on every rank, if any was asked.
        """
        self.stop.check_at(self.place, self.at_least)
