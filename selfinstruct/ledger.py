"""Every reply ever received, under the hash of what was sent: nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pacos.files import append_jsonl, read_jsonl


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to a teacher. All of it, and nothing else, decides the reply."""

    model: str
    prompt: str
    tasks: int
    """Whole tasks after which the reply ends."""
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    """Of the sampling, so that the reply does not depend on the batch it was made in."""

    @property
    def key(self) -> str:
        """Digest of what is sent."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str
    cut: bool
    """The token limit ended it."""
    tokens: int


class Ledger:
    """data/ledger.jsonl: replies are on disk before anything is made of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Cuts off a torn last line: it may parse and yet be lost with the next append.
        append_jsonl(path, [])
        self._replies = {record["key"]: _reply(record) for record in read_jsonl(path)}

    def get(self, request: Request) -> Reply | None:
        """The reply to a request, if it was ever received."""
        return self._replies.get(request.key)

    def add(self, answered: Iterable[tuple[Request, Reply]]) -> None:
        """Store replies; on return they are safe."""
        records: list[dict[str, Any]] = []
        for request, reply in answered:
            records.append({"key": request.key, "sent": asdict(request), **asdict(reply)})
            self._replies[request.key] = reply
        append_jsonl(self._path, records)


def _reply(record: dict[str, Any]) -> Reply:
    return Reply(**{field.name: record[field.name] for field in fields(Reply)})
