"""The prompts of a rubric: the conversations that models answer, one JSON object per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.schemas import Message

SPEAKERS = {"en": ("User", "Assistant"), "ko": ("사용자", "어시스턴트")}
"""Speaker labels of a conversation of several turns, by language of the rubric."""


@dataclass(frozen=True, slots=True)
class RubricPrompt:
    """A conversation that a model continues."""

    id: str
    turns: tuple[str, ...]
    """Alternating turns of user and assistant; the first and the last are the user's."""
    context: str = ""
    """A fact that the answer may use; empty for none."""

    def messages(self) -> list[Message]:
        """Return the conversation as chat messages, with the context as the system message."""
        system = [{"role": "system", "content": self.context}] if self.context else []
        roles = ("user", "assistant")
        return system + [
            {"role": roles[number % 2], "content": turn} for number, turn in enumerate(self.turns)
        ]

    def source(self, lang: str) -> str:
        """Return the conversation as the judge reads it; a single turn has no speaker label."""
        if len(self.turns) == 1:
            return self.turns[0]
        speakers = SPEAKERS[lang]
        return "\n".join(
            f"{speakers[number % 2]}: {turn}" for number, turn in enumerate(self.turns)
        )


def read_prompts(path: Path) -> list[RubricPrompt]:
    """Read a file of prompts.

    Raises:
        UserError: the file cannot be read, is empty, or has an invalid line or a duplicate id.
    """
    try:
        records = list(read_jsonl(path))
    except (ValueError, OSError) as error:
        raise UserError(f"{error}; fix or remove the line") from error
    if not records:
        raise UserError(
            f"{path}: contains no prompts; write one JSON object per line, with id and turns"
        )
    prompts = [_prompt(record, f"{path}:{number}") for number, record in enumerate(records, 1)]
    # An answer is identified by its rubric and prompt id: a duplicate would pair the wrong answers.
    seen: set[str] = set()
    for number, prompt in enumerate(prompts, 1):
        if prompt.id in seen:
            raise UserError(f"{path}:{number}: id = {prompt.id}: is a duplicate; choose another id")
        seen.add(prompt.id)
    return prompts


def _prompt(record: Mapping[str, Any], location: str) -> RubricPrompt:
    turns = record.get("turns")
    if not (
        isinstance(turns, list)
        and len(turns) % 2 == 1
        and all(isinstance(turn, str) and turn.strip() for turn in turns)
    ):
        raise UserError(
            f"{location}: turns = {str(turns)[:80]}: must be a list with an odd number of "
            "non-empty strings that starts and ends with the user; write a single request as a "
            "list of one"
        )
    for key in ("id", "context"):
        if not isinstance(record.get(key, ""), str) or not record.get("id"):
            raise UserError(f"{location}: {key} = {record.get(key)!r}: must be a string; write one")
    return RubricPrompt(record["id"], tuple(turns), record.get("context", ""))
