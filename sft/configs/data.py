"""Config of the training data: its sources, their weights, and the rows to leave out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pacos.data.location import REMEDY, locate
from pacos.errors import Problem, UserError


class TooLong(Enum):
    """The treatment of rows with more than `max_length` tokens. No answer is ever cut."""

    drop = "drop"
    cut_turns = "cut_turns"


class OnError(Enum):
    """The treatment of rows that cannot be used."""

    refuse = "refuse"
    quarantine = "quarantine"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """The data that the model is trained on."""

    path: str = "???"
    """A run of pacos selfinstruct; a JSON, JSONL or Parquet file; a folder saved by the datasets
    library; or the train split of a hub data set, owner/name or owner/name@revision. The columns
    decide the schema: Alpaca's (instruction, input, output), conversations (messages, or ShareGPT's
    conversations), or prompt and completion."""
    weight: float = 1.0
    """Passes over `path` per epoch. 0.5 takes half of the rows, the same ones in every epoch; 2
    takes each row twice."""
    mix: dict[str, float] = field(default_factory=dict)
    """More data: each path with its passes per epoch, as `weight` for `path`. On the command line:
    '+data.mix={rows.jsonl: 0.5, owner/name: 1}'."""
    max_length: int = 2048
    """Tokens of a pack, and of the longest row. Longer rows are treated by `too_long`; activation
    memory grows with it."""
    too_long: TooLong = TooLong.drop
    """`drop` leaves longer rows out. `cut_turns` leaves out the last exchanges of a conversation
    until the rest fits, so that every remaining answer keeps its full context. Both list the rows
    in dropped_rows.jsonl."""
    on_error: OnError = OnError.refuse
    """`refuse` ends the run at the first row that cannot be used. `quarantine` leaves such rows out
    and lists them with the reasons in quarantined_rows.jsonl."""

    def weights(self) -> dict[str, float]:
        """Return every path with its passes per epoch: `path` first, the others alphabetically."""
        return {self.path: self.weight, **dict(sorted(self.mix.items()))}

    def problems(self) -> list[Problem]:
        problems = [
            Problem(f"data.{key}", value, "must be above 0", "give the passes per epoch")
            for key, value in {
                "weight": self.weight,
                **{f"mix.{path}": weight for path, weight in self.mix.items()},
            }.items()
            if value <= 0
        ]
        if self.path in self.mix:
            remedy = "set data.weight, and remove it from data.mix"
            problems.append(Problem("data.mix", self.path, "is already data.path", remedy))
        if self.max_length < 1:
            problems.append(
                Problem("data.max_length", self.max_length, "must be at least 1", "raise it")
            )
        return problems

    def missing_files(self) -> list[Problem]:
        problems = []
        for key, path in [("data.path", self.path), *(("data.mix", path) for path in self.mix)]:
            try:
                locate(path)
            except UserError as error:
                problems.append(Problem(key, path, str(error), REMEDY))
        return problems
