"""Records that stages hand to each other in files: messages, seed tasks and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacos.errors import UserError

SHOWN = 10
"""Most bad lines of a seed file that one error message lists."""

Message = dict[str, str]
"""One turn: `role` (system, user or assistant) and `content`; a user turn may have `input`."""


@dataclass(frozen=True, slots=True)
class SeedTask:
    """A hand-written task in the schema of Self-Instruct (arXiv 2212.10560)."""

    id: str
    name: str
    instruction: str
    input: str
    output: str
    is_classification: bool

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> SeedTask:
        """Read one line of a seed file.

        Raises:
            UserError: the record does not follow the schema; the message names `where`, its file
                and line.
        """
        try:
            instance = record["instances"][0]
            texts = {
                "id": record["id"],
                "name": record["name"],
                "instruction": record["instruction"],
                "input": instance["input"],
                "output": instance["output"],
            }
            flag = record["is_classification"]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{where}: not a seed task: it needs id, name, instruction, is_classification and "
                "instances, the first of which has input and output"
            ) from error
        for key, value in texts.items():
            if not isinstance(value, str) or (not value.strip() and key != "input"):
                raise UserError(f"{where}: {key} = {value!r}: must be a non-empty text")
        if not isinstance(flag, bool):
            raise UserError(f"{where}: is_classification = {flag!r}: must be true or false")
        return cls(**texts, is_classification=flag)


def read_seed_tasks(path: Path) -> list[SeedTask]:
    """Read a seed file, one JSON object per line.

    Raises:
        UserError: the file does not exist, or some lines are not seed tasks; the message lists the
            first of them.
    """
    if not path.is_file():
        raise UserError(f"seeds = {path}: no such file; give the path of a seed file (JSONL)")
    tasks, problems = [], []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            try:
                tasks.append(SeedTask.from_json(json.loads(line), where))
            except ValueError as error:
                problems.append(f"{where}: not JSON ({error})")
            except UserError as error:
                problems.append(str(error))
    if problems:
        more = [f"and {len(problems) - SHOWN} more lines"] if len(problems) > SHOWN else []
        raise UserError("\n".join([*problems[:SHOWN], *more]))
    return tasks


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction with its answer: Alpaca's three fields and their origin."""

    id: str
    instruction: str
    input: str
    output: str
    source: str = ""
    """`seed`, `generated`, or the name of the data set that the row was read from."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Facts recorded when the row was made: seed ids, request ids, generator and license terms."""

    def to_json(self) -> dict[str, Any]:
        # dataclasses.asdict copies every value of the lineage: 5 s for 52,000 rows.
        return {
            "id": self.id,
            "instruction": self.instruction,
            "input": self.input,
            "output": self.output,
            "source": self.source,
            "lineage": dict(self.lineage),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> Row:
        """Read an Alpaca-style record; other missing fields take their defaults.

        Raises:
            UserError: instruction or output is missing or not a non-empty text.
        """
        problem = row_problem(record)
        if problem is not None:
            raise UserError(f"{where}: {problem}")
        return cls(
            id=str(record.get("id", where)),
            instruction=record["instruction"],
            input=record.get("input", ""),
            output=record["output"],
            source=str(record.get("source", "")),
            lineage=record.get("lineage", {}),
        )

    def messages(self) -> list[Message]:
        """Return the row as a conversation. The user turn keeps `input` for formats that use it."""
        user = {"role": "user", "content": self.instruction, "input": self.input}
        return [user, {"role": "assistant", "content": self.output}]


def row_problem(record: Mapping[str, Any]) -> str | None:
    """Return the problem that keeps a record from being an Alpaca-style row; None if it is one."""
    for key in ("instruction", "output"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            return (
                f"{key} = {record.get(key)!r}: must be a non-empty text; a row has instruction, "
                "input and output"
            )
    if not isinstance(record.get("input", ""), str):
        return f"input = {record['input']!r}: must be a text, or left out"
    return None
