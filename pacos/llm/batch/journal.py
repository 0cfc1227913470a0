"""Which requests are in which batch, known on the disk before a batch can exist."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from pacos.files import append_jsonl, read_jsonl


@dataclass(slots=True)
class Entry:
    """One batch."""

    planned_at: float
    """Unix time, in seconds."""
    keys: list[str]
    id: str | None = None
    """The service's name for it; None until it is known to exist."""


class Journal:
    """batches.jsonl, append-only. Requests that are answered are left out when it is read.

    A batch is planned, under a name of ours, before the service is asked to create it. A process
    killed in between finds it at the service by that name.
    """

    def __init__(self, path: Path, answered: Container[str]) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._batch_of: dict[str, str] = {}
        append_jsonl(path, [])  # cuts off a torn last line
        for record in read_jsonl(path):
            name = record["name"]
            if record["event"] == "planned":
                keys = [key for key in record["keys"] if key not in answered]
                self._plan(name, Entry(record["time"], keys))
            elif record["event"] == "created":
                self._entries[name].id = record["id"]
            else:
                self._void(name)

    def plan(self, name: str, keys: Sequence[str]) -> None:
        """Note that a batch is about to be created."""
        entry = Entry(time.time(), list(keys))
        record = {"event": "planned", "name": name, "time": entry.planned_at, "keys": entry.keys}
        append_jsonl(self._path, [record])
        self._plan(name, entry)

    def create(self, name: str, batch_id: str) -> None:
        """Note that a batch exists at the service."""
        append_jsonl(self._path, [{"event": "created", "name": name, "id": batch_id}])
        self._entries[name].id = batch_id

    def void(self, name: str) -> None:
        """Note that a batch never came to be: its requests are free."""
        append_jsonl(self._path, [{"event": "void", "name": name}])
        self._void(name)

    def entry(self, name: str) -> Entry:
        """A batch that is planned or created."""
        return self._entries[name]

    def batch_of(self, key: str) -> str | None:
        """The latest batch that a request is in; None if it has to go into a new one."""
        return self._batch_of.get(key)

    def release(self, key: str) -> None:
        """The request's batch has no reply for it: it has to go into a new one."""
        self._batch_of.pop(key, None)

    def _plan(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry
        for key in entry.keys:
            self._batch_of[key] = name

    def _void(self, name: str) -> None:
        for key in self._entries.pop(name).keys:
            if self._batch_of.get(key) == name:
                del self._batch_of[key]
