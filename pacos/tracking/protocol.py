"""The interface of every tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Record = Mapping[str, object]
"""One step's metrics: `step`, and names of the form group/metric."""


class Tracker(Protocol):
    """Takes the metrics of a run."""

    def log(self, record: Record) -> None:
        """Take the record of one step."""
        ...

    def close(self, exit_code: int) -> None:
        """End the run there; 0 is success."""
        ...
