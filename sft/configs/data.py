"""Config of the training data: where rows come from, how often, and which are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pacos.data.location import REMEDY, locate
from pacos.errors import Problem, UserError


class TooLong(Enum):
    """What happens to a row of more than `max_length` tokens. No answer is ever cut."""

    drop = "drop"
    cut_turns = "cut_turns"


class OnError(Enum):
    """What happens to a row that cannot be used."""

    refuse = "refuse"
    quarantine = "quarantine"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """What the model is trained on."""

    path: str = "???"
    """A run of pacos selfinstruct; a JSON, JSONL or Parquet file; a folder that the library
    datasets saved; or a data set of the hub, owner/name or owner/name@revision (its train split).
    Rows are Alpaca's (instruction, input, output), conversations (messages, or ShareGPT's
    conversations) or pairs of prompt and completion; the columns tell which."""
    weight: float = 1.0
    """Passes over `path` in an epoch. 0.5 takes half of the rows, the same in every epoch; 2 takes
    each row twice."""
    mix: dict[str, float] = field(default_factory=dict)
    """Further data: path to passes over it in an epoch, as `weight` is for `path`. On the command
    line: '+data.mix={rows.jsonl: 0.5, owner/name: 1}'."""
    max_length: int = 2048
    """Tokens of a pack, and of the longest row."""
    too_long: TooLong = TooLong.drop
    """`drop` leaves longer rows out. `cut_turns` leaves out the last exchanges of a conversation
    until the rest fits: every answer that is left has all of its context. Both list the rows in
    dropped_rows.jsonl."""
    on_error: OnError = OnError.refuse
    """`refuse` ends the run at the first row that cannot be used. `quarantine` leaves such rows out
    and lists them with their reasons in quarantined_rows.jsonl."""

    def weights(self) -> dict[str, float]:
        """All paths with their passes an epoch, `path` first, the others in alphabetical order."""
        return {self.path: self.weight, **dict(sorted(self.mix.items()))}

    def problems(self) -> list[Problem]:
        found = [
            Problem(f"data.{key}", value, "is a number of passes", "choose one above 0")
            for key, value in {
                "weight": self.weight,
                **{f"mix.{path}": weight for path, weight in self.mix.items()},
            }.items()
            if value <= 0
        ]
        if self.path in self.mix:
            remedy = "set data.weight, and take it out of data.mix"
            found.append(Problem("data.mix", self.path, "is data.path already", remedy))
        if self.max_length < 1:
            found.append(
                Problem("data.max_length", self.max_length, "must be at least 1", "raise it")
            )
        return found

    def missing_files(self) -> list[Problem]:
        found = []
        for key, path in [("data.path", self.path), *(("data.mix", path) for path in self.mix)]:
            try:
                locate(path)
            except UserError as error:
                found.append(Problem(key, path, str(error), REMEDY))
        return found
