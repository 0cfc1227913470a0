"""The journal of batches: which requests are in which batch, on disk before the batch exists."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from pacos.files import append_jsonl, read_jsonl


@dataclass(slots=True)
class JournalEntry:
    """One batch."""

    planned_at: float
    """Unix time, in seconds."""
    keys: list[str]
    id: str | None = None
    """Id at the service. None until the batch is known to exist."""


class Journal:
    """batches.jsonl, append-only. On reading, requests that are already answered are left out.

    A batch is planned, under a name of ours, before the service is asked to create it. If the
    process is killed in between, the next life finds the batch at the service by that name.
    """

    def __init__(self, path: Path, answered: Container[str]) -> None:
        self._path = path
        self._entries: dict[str, JournalEntry] = {}
        self._batch_of: dict[str, str] = {}
        append_jsonl(path, [])  # Cuts off a torn last line.
        for record in read_jsonl(path):
            name = record["name"]
            if record["event"] == "planned":
                keys = [key for key in record["keys"] if key not in answered]
                self._plan(name, JournalEntry(record["time"], keys))
            elif record["event"] == "created":
                self._entries[name].id = record["id"]
            else:
                self._void(name)

    def plan(self, name: str, keys: Sequence[str]) -> None:
        """Record that a batch is about to be created."""
        entry = JournalEntry(time.time(), list(keys))
        record = {"event": "planned", "name": name, "time": entry.planned_at, "keys": entry.keys}
        append_jsonl(self._path, [record])
        self._plan(name, entry)

    def create(self, name: str, batch_id: str) -> None:
        """Record that a batch exists at the service."""
        append_jsonl(self._path, [{"event": "created", "name": name, "id": batch_id}])
        self._entries[name].id = batch_id

    def void(self, name: str) -> None:
        """Record that a batch was never created, which frees its requests for another."""
        append_jsonl(self._path, [{"event": "void", "name": name}])
        self._void(name)

    def entry(self, name: str) -> JournalEntry:
        """Return a batch that is planned or created."""
        return self._entries[name]

    def batch_of(self, key: str) -> str | None:
        """Return the name of a request's latest batch; None if it needs a new one."""
        return self._batch_of.get(key)

    def release(self, key: str) -> None:
        """Free a request for a new batch: its batch has no reply for it."""
        self._batch_of.pop(key, None)

    def _plan(self, name: str, entry: JournalEntry) -> None:
        self._entries[name] = entry
        for key in entry.keys:
            self._batch_of[key] = name

    def _void(self, name: str) -> None:
        for key in self._entries.pop(name).keys:
            # The request may be in a later batch by now.
            if self._batch_of.get(key) == name:
                del self._batch_of[key]
