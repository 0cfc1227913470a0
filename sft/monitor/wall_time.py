"""The wall time of a life, by what it was spent on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = "steps"


class WallTime:
    """Seconds by purpose, from the construction of this object on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._longest: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, purpose: str) -> Iterator[None]:
        """Count the time spent inside."""
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._spent[purpose] += seconds
            self._longest[purpose] = max(self._longest[purpose], seconds)

    def goodput(self) -> float:
        """Return the share of all time so far that went into steps."""
        return self._spent[STEPS] / (time.monotonic() - self._began)

    def longest(self, purpose: str) -> float:
        """Return the longest single time spent on a purpose, in seconds."""
        return self._longest[purpose]

    def seconds(self) -> dict[str, float]:
        """Return seconds by purpose; `other` is what nobody counted, such as loading."""
        known = {name: round(seconds, 3) for name, seconds in self._spent.items()}
        other = time.monotonic() - self._began - sum(self._spent.values())
        return {**known, "other": round(other, 3)}
