"""Answers of a model, on disk as soon as they are known: a killed run computes none twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pacos.files import append_jsonl, read_jsonl

if TYPE_CHECKING:
    from eval.lm_eval_api import Instance


class AnswerLog:
    """An append-only file of answers by a key of the request and of the model.

    A key covers the model's content, its dtype, the task, the seed of its examples and the complete
    prompt, so an answer of another model or config is never taken for this one's.
    """

    def __init__(self, path: Path, source: Mapping[str, Any]) -> None:
        """Open a file or begin one.

        Args:
            path: the file; a torn last line is dropped.
            source: what all answers depend on besides their request, as JSON values.
        """
        self._path = path
        self._source = json.dumps(source, sort_keys=True)
        self._answers = {record["key"]: record["answer"] for record in read_jsonl(path)}

    def key(self, kind: str, task: str | None, arguments: Any, repeat: int) -> str:
        """Return the key of a request.

        Args:
            kind: lm_eval's request type.
            task: name of the task.
            arguments: the request's prompt, continuation and generation settings.
            repeat: number of equal requests before this one.
        """
        # A digest, because prompts with few-shot examples take kilobytes each.
        text = json.dumps([self._source, kind, task, arguments, repeat], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> Any:
        """Return the answer, or None if there is none yet."""
        return self._answers.get(key)

    def add(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Append answers and fsync."""
        records = [{"key": key, "answer": answer} for key, answer in answers]
        append_jsonl(self._path, records)
        self._answers.update((record["key"], record["answer"]) for record in records)


@dataclass(frozen=True, slots=True)
class NumberedRequest:
    """A request of lm_eval, which repeats a request to get several answers to it."""

    request: Instance
    repeat: int
    """Number of equal requests before this one."""

    def key(self, kind: str, answers: AnswerLog) -> str:
        """Return the key of its answer."""
        return answers.key(kind, self.request.task_name, self.request.args, self.repeat)


def number_repeats(requests: Sequence[Instance]) -> list[NumberedRequest]:
    """Number equal requests, so that each gets an answer and a seed of its own."""
    seen = Counter[str]()
    numbered = []
    for request in requests:
        identity = repr((request.task_name, request.args))
        numbered.append(NumberedRequest(request, seen[identity]))
        seen[identity] += 1
    return numbered
