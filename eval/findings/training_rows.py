"""The rows that a model was trained on, as far as its run records them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pacos.data.example import RowError
from pacos.data.rows import read_example, reader_for
from pacos.data.sources import Source, open_source
from pacos.errors import UserError
from pacos.files import read_json
from pacos.model.paths import exported_model
from pacos.run_paths import RunPaths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """Request and answer of a row, in the form of the search for benchmark items."""

    place: str
    """File and line, or file and row number."""
    instruction: str
    input: str
    output: str


def training_sources(target: str, given: str | None) -> list[Source]:
    """Return the data sets that a model was trained on; none if they are unknown.

    Args:
        target: the model. The config of an sft run names its data.
        given: `EvalConfig.training_data`, which takes precedence.

    Raises:
        UserError: the given data set cannot be opened. Data of a run may be gone, which is logged.
    """
    model = exported_model(target)
    run = Path(target).expanduser() if model is None else model.parent
    paths = [given] if given is not None else _paths_of_run(run)
    sources = []
    for path in paths:
        try:
            sources.append(open_source(path))
        except UserError as error:
            if given is not None:
                raise
            log.warning("%s was trained on %s, which cannot be opened: %s", target, path, error)
    return sources


def _paths_of_run(run_path: Path) -> list[str]:
    run = RunPaths(run_path)
    if not run.manifest.is_file():
        return []
    data = yaml.safe_load(run.config.read_text(encoding="utf-8")).get("data")
    if not isinstance(data, Mapping) or "path" not in data:
        return []
    # Relative paths of the run start from the folder in which its command was typed.
    folder = Path(read_json(run.manifest)["folder"])
    paths = [str(data["path"]), *map(str, data.get("mix") or {})]
    return [str(folder / path) if (folder / path).exists() else path for path in paths]


def training_rows(source: Source) -> Iterator[TrainingRow]:
    """Yield all rows of a data set. Rows that cannot be read were not trained on either."""
    for number, record in source.records():
        reader = reader_for(record.keys()) if isinstance(record, dict) else None
        if reader is None:
            continue
        try:
            messages = read_example(record, reader).messages
        except RowError:
            continue
        # System and earlier user turns belong to the request: an item may hide in any of them.
        asked = [message for message in messages if message["role"] != "assistant"]
        answers = [message for message in messages if message["role"] == "assistant"]
        yield TrainingRow(
            place=source.place(number),
            instruction=_texts(asked, "content"),
            input=_texts(asked, "input"),
            output=_texts(answers, "content"),
        )


def _texts(messages: Sequence[Mapping[str, str]], key: str) -> str:
    return "\n".join(text for message in messages if (text := message.get(key)))


def identity(source: Source) -> dict[str, Any]:
    """Return the path and the digest of a data set."""
    return {"path": source.path, "sha256": source.digest()}
