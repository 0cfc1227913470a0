"""What a model answered, on the disk as soon as it is known: a killed run asks nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from pacos.files import append_jsonl, read_jsonl


class Answers:
    """An append-only file of answers under the key of what was asked of whom.

    A key holds the model's content, the number format, the task, the seed of its examples and the
    whole prompt, so that no other model's and no other config's answer can be taken for it.
    """

    def __init__(self, path: Path, asked_of: Mapping[str, Any]) -> None:
        """Open a file, or begin one.

        Args:
            path: the file; a torn last line is no answer.
            asked_of: what all answers depend on besides their request, for JSON.
        """
        self._path = path
        self._asked_of = json.dumps(asked_of, sort_keys=True)
        self._known = {record["key"]: record["answer"] for record in read_jsonl(path)}

    def key(self, kind: str, task: str | None, arguments: Any, sample: int) -> str:
        """The key of a request.

        Args:
            kind: what is asked for: the name of the harness' request type.
            task: that it belongs to.
            arguments: of the request: prompt, continuation, settings of generation.
            sample: tells apart draws from one prompt.
        """
        text = json.dumps([self._asked_of, kind, task, arguments, sample], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> Any:
        """The answer; None if there is none yet."""
        return self._known.get(key)

    def add(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Keep answers; on return they are on the disk."""
        records = [{"key": key, "answer": answer} for key, answer in answers]
        append_jsonl(self._path, records)
        self._known.update((record["key"], record["answer"]) for record in records)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the harness, which repeats one of which it wants several answers."""

    request: Instance
    draw: int
    """How often it came before."""

    def key(self, kind: str, answers: Answers) -> str:
        """Of its answer."""
        return answers.key(kind, self.request.task_name, self.request.args, self.draw)


def numbered(requests: Sequence[Instance]) -> list[Asked]:
    """Requests, of which those that are the same can be told apart."""
    seen = Tally[str]()
    asked = []
    for request in requests:
        same = repr((request.task_name, request.args))
        asked.append(Asked(request, seen[same]))
        seen[same] += 1
    return asked
