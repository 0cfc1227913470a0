"""What models are asked: the prompts of a rubric, one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.schemas import Message

SPEAKERS = {"en": ("User", "Assistant"), "ko": ("사용자", "어시스턴트")}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One conversation that a model goes on with."""

    id: str
    turns: tuple[str, ...]
    """What user and assistant said in turn; the user began and has the last word."""
    context: str = ""
    """A fact that the answer may use."""

    def messages(self) -> list[Message]:
        """The conversation, the fact as the system's word."""
        system = [{"role": "system", "content": self.context}] if self.context else []
        roles = ("user", "assistant")
        return system + [
            {"role": roles[number % 2], "content": turn} for number, turn in enumerate(self.turns)
        ]

    def source(self, lang: str) -> str:
        """The conversation as the judge reads it."""
        if len(self.turns) == 1:
            return self.turns[0]
        speakers = SPEAKERS[lang]
        return "\n".join(
            f"{speakers[number % 2]}: {turn}" for number, turn in enumerate(self.turns)
        )


def read_prompts(path: Path) -> list[Prompt]:
    """Read a file of prompts.

    Raises:
        UserError: a line is none, or an id comes twice.
    """
    try:
        records = list(read_jsonl(path))
    except (ValueError, OSError) as error:
        raise UserError(f"{error}; correct the line, or remove it") from error
    if not records:
        raise UserError(
            f"{path}: holds no prompts; write one JSON object a line, with id and turns"
        )
    prompts = [_prompt(record, f"{path}:{n}") for n, record in enumerate(records, 1)]
    seen: set[str] = set()
    for number, prompt in enumerate(prompts, 1):
        if prompt.id in seen:
            raise UserError(f"{path}:{number}: id = {prompt.id}: came before; choose another")
        seen.add(prompt.id)
    return prompts


def _prompt(record: Mapping[str, Any], where: str) -> Prompt:
    turns = record.get("turns")
    if not (
        isinstance(turns, list)
        and len(turns) % 2 == 1
        and all(isinstance(turn, str) and turn.strip() for turn in turns)
    ):
        raise UserError(
            f"{where}: turns = {str(turns)[:80]}: must be a list of texts of odd length, the "
            "user's first and last; a single request is a list of one"
        )
    for key in ("id", "context"):
        if not isinstance(record.get(key, ""), str) or not record.get("id"):
            raise UserError(f"{where}: {key} = {record.get(key)!r}: must be a text; write one")
    return Prompt(record["id"], tuple(turns), record.get("context", ""))
