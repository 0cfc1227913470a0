"""The interface of all trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Record = Mapping[str, object]
"""The metrics of one step: `step`, and names of the form group/metric."""


class Tracker(Protocol):
    """A receiver of a run's metrics."""

    def log(self, record: Record) -> None:
        """Record the metrics of one step."""
        ...

    def close(self, exit_code: int) -> None:
        """Finish the run at the tracker; exit code 0 is success."""
        ...
