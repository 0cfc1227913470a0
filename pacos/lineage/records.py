"""The rows that a model was trained on, read again from the data sets that its run names."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from pacos.data.example import Content, Conversation, Example, RawText, RowError, Turn
from pacos.data.location import SourceKind
from pacos.data.reading.trees import conversations, is_tree_message
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from pacos.data.sources import Source, open_source
from pacos.errors import UserError
from pacos.files import read_json
from pacos.model.paths import exported_model
from pacos.run_paths import RunPaths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One data set that a model was trained on."""

    source: Source
    config: SourceConfig
    """The options under which it was read."""

    def identity(self) -> dict[str, Any]:
        """Return the path and the digest of the data set."""
        return {"path": self.source.path, "sha256": self.source.digest()}


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row of a data set that can be trained on."""

    number: int
    """Number of its record in the source."""
    record: Mapping[str, Any]
    """Its columns."""
    example: Example


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """Request and answer of a row, in the form of the search for benchmark items."""

    place: str
    """File and line, or file and row number."""
    instruction: str
    input: str
    output: str


def training_sources(target: str, given: str | None) -> list[TrainingData]:
    """Return the data sets that a model was trained on; none if they are unknown.

    Args:
        target: the model. The config of an sft run names its data.
        given: a data set to take instead.

    Raises:
        UserError: the given data set cannot be opened. Data of a run may be gone, which is logged.
    """
    if given is not None:
        return [TrainingData(open_source(given), SourceConfig(path=given))]
    model = exported_model(target)
    run = Path(target).expanduser() if model is None else model.parent
    sources = []
    for config in source_configs(RunPaths(run)):
        try:
            sources.append(TrainingData(open_source(config.path), config))
        except UserError as error:
            path = config.path
            log.warning("%s was trained on %s, which cannot be opened: %s", target, path, error)
    return sources


def source_configs(run: RunPaths) -> list[SourceConfig]:
    """Return the data sets that an sft run names, in its order; none for any other folder."""
    if not run.manifest.is_file():
        return []
    data = yaml.safe_load(run.config.read_text(encoding="utf-8")).get("data")
    if not isinstance(data, Mapping) or "path" not in data:
        return []
    # Relative paths of the run start from the folder in which its command was typed.
    folder = Path(read_json(run.manifest)["folder"])
    return [
        replace(config, path=str(folder / config.path))
        if (folder / config.path).exists()
        else config
        for config in SourceConfig.all_of(data)
    ]


def read_rows(data: TrainingData) -> Iterator[ReadRow]:
    """Yield all rows of a data set. Rows that cannot be read were not trained on either."""
    reader = RowReader.of(data.config)
    # Every other kind of file is a table.
    filled = data.source.location.kind is not SourceKind.json
    for number, record in _records(data):
        if not isinstance(record, Mapping):
            continue
        try:
            yield ReadRow(number, record, reader.read(record, filled=filled))
        except RowError:
            continue


def _records(data: TrainingData) -> Iterator[tuple[int, Any]]:
    records = data.source.records()
    for number, record in records:
        rest = chain([(number, record)], records)
        return conversations(rest, data.config.tree) if is_tree_message(record) else rest
    return iter(())


def training_rows(data: TrainingData) -> Iterator[TrainingRow]:
    """Yield the text of all rows of a data set but those that were tokenized before training."""
    for row in read_rows(data):
        texts = texts_of(row.example.content)
        if texts is not None:
            yield TrainingRow(data.source.place(row.number), *texts)


def texts_of(content: Content) -> tuple[str, str, str] | None:
    """Return instruction, input and output of a row; None if it holds token ids only."""
    if isinstance(content, RawText):
        return content.prompt, "", content.text
    if not isinstance(content, Conversation):
        return None
    # System and earlier user turns belong to the request: an item may hide in any of them.
    asked = [turn for turn in content.turns if turn["role"] != "assistant"]
    answers = [turn for turn in content.turns if turn["role"] == "assistant"]
    instruction = _joined(turn["content"] for turn in asked)
    return instruction, _joined(turn.get("input") for turn in asked), _joined(map(_answer, answers))


def _answer(turn: Turn) -> str:
    """Return everything that the assistant writes in a turn: thought, text and calls."""
    calls = [call["function"]["arguments"] for call in turn.get("tool_calls", ())]
    arguments = [
        text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in calls
    ]
    return _joined([turn.get("reasoning_content"), turn["content"], *arguments])


def _joined(texts: Iterable[str | None]) -> str:
    return "\n".join(filter(None, texts))
