"""The trackers of a run. metrics.jsonl is authoritative; a service mirrors it and may fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pacos.configs.tracking import TrackingConfig, TrackingService
from pacos.files import append_jsonl, read_jsonl, write_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking.history import last_record
from pacos.tracking.metrics import STEP
from pacos.tracking.protocol import Record, Tracker


class NullTracker:
    """Discards everything: for all ranks but the first."""

    def log(self, record: Record) -> None:
        pass

    def close(self, exit_code: int) -> None:
        pass


class JsonlTracker:
    """Appends to metrics.jsonl, one fsynced line per step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        newest = last_record(path)
        self._step = newest and newest[STEP]

    def log(self, record: Record) -> None:
        """Record a step; further metrics of the newest step are merged into its line."""
        if record[STEP] == self._step:
            # Rewriting the file is slow but rare: a resumed life repeats a measurement that a kill
            # interrupted.
            *before, newest = read_jsonl(self.path)
            write_jsonl(self.path, [*before, {**newest, **record}])
        else:
            append_jsonl(self.path, [record])
            self._step = record[STEP]

    def close(self, exit_code: int) -> None:
        pass


class CompositeTracker:
    """Passes every record to several trackers."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = trackers

    def log(self, record: Record) -> None:
        for tracker in self.trackers:
            tracker.log(record)

    def close(self, exit_code: int) -> None:
        for tracker in self.trackers:
            tracker.close(exit_code)


def open_tracker(
    config: TrackingConfig, run: RunPaths, settings: Record, *, is_main: bool
) -> Tracker:
    """Return the tracker of this rank.

    Args:
        config: service that mirrors the file.
        run: the run whose metrics.jsonl is written; the service shows the name of its folder.
        settings: the run's config by dotted keys, shown by the service.
        is_main: True on rank 0, the only one that tracks.
    """
    if not is_main:
        return NullTracker()
    file = JsonlTracker(run.metrics)
    if config.service is TrackingService.none:
        return file
    from pacos.tracking.wandb import WandbTracker

    mirror = WandbTracker(config, run, settings)
    mirror.begin()
    return CompositeTracker([file, mirror])
