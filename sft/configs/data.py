"""Config of the training data: its sources, their weights, and the rows to leave out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pacos.data.layout import LocationError
from pacos.data.location import locate
from pacos.data.source_config import SourceConfig, Tree
from pacos.errors import Problem
from pacos.identity import FREE
from sft.configs.source_options import mix_problems, option_problems


class TooLong(Enum):
    """The treatment of rows with more than `max_length` tokens."""

    drop = "drop"
    cut_turns = "cut_turns"
    truncate = "truncate"
    error = "error"


class OnError(Enum):
    """The treatment of rows that cannot be used."""

    refuse = "refuse"
    quarantine = "quarantine"


class TrainOn(Enum):
    """The assistant turns of a conversation that have a loss."""

    all = "all"
    last = "last"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """The data that the model is trained on."""

    path: str = "???"
    """A run of pacos selfinstruct; a JSON, JSONL, CSV, TSV, Parquet or Arrow file, also compressed
    (.gz, .zst); a folder of such files; a folder saved by the datasets library; or a hub data set,
    owner/name:subset/split[slice]@revision, where everything after the name is optional. A slice
    needs quotes inside the quotes of the shell: 'data.path="rows.jsonl:train[:1000]"'. The columns
    decide the schema: docs/data.md lists all that are known."""
    weight: float = 1.0
    """Passes over `path` per epoch. 0.5 takes half of the rows, the same ones in every epoch; 2
    takes each row twice."""
    columns: dict[str, str] = field(default_factory=dict)
    """Your columns by name, each with the name that docs/data.md gives it:
    '+data.columns={frage: question, antwort: answer}'. Keys of turns are renamed in the same way:
    '+data.columns={speaker: role}'."""
    roles: dict[str, str] = field(default_factory=dict)
    """Your roles by name, each as system, user, assistant or tool:
    '+data.roles={bot: assistant}'."""
    ignore: list[str] = field(default_factory=list)
    """Columns and keys that have no meaning for training, so that they are not named at the start:
    'data.ignore=[category,"messages[].model"]'. Those that have a meaning are not read either."""
    raw: bool = False
    """Train on the columns prompt and completion as they are, without a prompt format, as TRL does:
    a loss on the completion and the eos token after it."""
    tree: Tree = Tree.best
    """Conversations to take from a tree of messages (OpenAssistant). `best` follows the best-ranked
    reply at each turn; `all` takes every path, and trains on each answer once."""
    # Free because it changes no token.
    terms: str | None = field(default=None, metadata=FREE)
    """Licence or terms of the rows that name none (`lineage.terms`): an id of docs/licences.md.
    Null counts such rows as `unknown`, which license_policy=commercial refuses."""
    mix: dict[str, Any] = field(default_factory=dict)
    """More data: each path with its passes per epoch, as `weight` for `path`, or with a mapping of
    weight, columns, roles, ignore, raw, tree and terms, which replace those above for it. On the
    command line: '+data.mix={rows.jsonl: 0.5, qa.csv: {weight: 1, columns: {frage: question}}}'."""
    max_length: int = 2048
    """Tokens of a pack, and of the longest row. Longer rows are treated by `too_long`; activation
    memory grows with it."""
    too_long: TooLong = TooLong.drop
    """`drop` leaves longer rows out. `cut_turns` leaves out the last exchanges of a conversation
    until the rest fits, so that every remaining answer keeps its full context. `truncate` cuts the
    tokens after `max_length`, so that the model does not learn to end such an answer. `error` ends
    the run. The first three list the rows in dropped_rows.jsonl, and the start of the run names
    their share."""
    on_error: OnError = OnError.refuse
    """`refuse` ends the run at the first row that cannot be used. `quarantine` leaves such rows out
    and lists them with the reasons in quarantined_rows.jsonl."""
    train_on: TrainOn = TrainOn.all
    """Assistant turns with a loss: `all`, or only the `last` of each conversation. A turn whose
    weight is 0, or whose train or training is false, never has one."""
    train_on_reasoning: bool = True
    """Loss on the thoughts of assistant turns (reasoning_content, thinking). false keeps them as
    context. A thought that is empty never has a loss."""

    def sources(self) -> list[SourceConfig]:
        """Return every source with its own options: `path` first, the others alphabetically.

        Values of `mix` that `problems` refuses count as a weight of 1.
        """
        mix = {
            path: 1.0 if mix_problems(path, value) else value for path, value in self.mix.items()
        }
        options = {key: getattr(self, key) for key in SourceConfig.OPTIONS}
        return SourceConfig.all_of(
            {"path": self.path, "weight": self.weight, "mix": mix, **options}
        )

    def weights(self) -> dict[str, float]:
        """Return every path with its passes per epoch: `path` first, the others alphabetically."""
        return {source.path: source.weight for source in self.sources()}

    def problems(self) -> list[Problem]:
        options = {key: getattr(self, key) for key in SourceConfig.OPTIONS}
        problems = option_problems("data", {"weight": self.weight, **options})
        paths = {os.path.normpath(self.path): "data.path"}
        for path, value in self.mix.items():
            problems += mix_problems(path, value)
            same = paths.setdefault(os.path.normpath(path), f"data.mix.{path}")
            if same == "data.path":
                remedy = "set data.weight, and remove it from data.mix"
                problems.append(Problem("data.mix", path, "is already data.path", remedy))
            elif same != f"data.mix.{path}":
                problems.append(Problem("data.mix", path, f"is already {same}", "remove one"))
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
            except LocationError as error:
                problems.append(Problem(key, path, error.fault, error.remedy))
        return problems
