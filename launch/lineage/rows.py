"""Rows: found by id, hash or place; the requests that wrote them; the models that saw them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.lineage.chain import INDENT, models_from
from pacos.data.example import content_hash
from pacos.data.rows import lineage_of
from pacos.data.source_config import SourceConfig
from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.lineage.library import Library, Run
from pacos.lineage.records import ReadRow, TrainingData, read_rows, source_configs, texts_of
from pacos.lineage.trained_rows import TrainedRows
from pacos.llm.ledger import find_records
from pacos.run_paths import DataPaths

HASH = re.compile(r"[0-9a-f]{16}")
SHOWN = 10
"""Most rows that a message names."""
PLACE = re.compile(r"(?P<file>.+):(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row of a data set."""

    data: TrainingData
    row: ReadRow

    @property
    def place(self) -> str:
        """File and line, or file and row number."""
        return self.data.source.place(self.row.number)

    @property
    def content(self) -> int:
        """Hash of the row's content."""
        return content_hash(self.row.example.content)

    @property
    def lineage(self) -> Mapping[str, Any]:
        return lineage_of(self.row.record)

    @property
    def requests(self) -> list[str]:
        """Keys of the requests that produced it; none for a row that no generator wrote."""
        return [str(key) for key in self.lineage.get("requests", ())]

    @property
    def file(self) -> Path:
        return Path(self.data.source.location.files[0])


def chain_of_row(subject: str, library: Library) -> Iterator[str]:
    """Yield where a row comes from, and the models that saw it.

    Args:
        subject: an id, the 16 digits of a hash, or FILE:LINE.
        library: the runs to search.

    Raises:
        UserError: there is no such row, or several.
    """
    places = _find(subject, library)
    if not places and not HASH.fullmatch(subject):
        raise UserError(
            f"{subject}: no row below {library.root} has this id, and no run or model lies there; "
            "give a run, a model, or a row by its id, its hash (16 digits) or FILE:LINE, and name "
            "the folder of the runs with --root"
        )
    contents = {found.content: found for found in reversed(places)}
    if len(contents) > 1:
        lines = [f"  {show_hash(key)}  {one.place}" for key, one in contents.items()]
        shown = "\n".join(lines[:SHOWN])
        raise UserError(
            f"{subject}: is the id of {len(lines)} different rows; give the hash of one:\n{shown}"
        )
    content = next(iter(contents), None)
    yield f"row {show_hash(content if content is not None else int(subject, 16))}"
    for found in places:
        yield f"{INDENT}in {found.place}"
    if places:
        yield from text_and_requests(places[0], library)
    else:
        yield f"{INDENT}no data set below {library.root} holds it (any more)"
    yield ""
    yield "seen by"
    yield from _seen_by(content if content is not None else int(subject, 16), library)


def _seen_by(content: int, library: Library) -> Iterator[str]:
    runs, unknown = 0, []
    for run in library.of_stage("sft"):
        rows = trained_rows(run)
        if rows is None:
            unknown.append(str(run.paths.path))
        elif steps := rows.steps_of(content):
            runs += 1
            yield f"{INDENT}{run.paths.path} in step {', '.join(map(str, steps))}"
            models = list(models_from(run, library, steps[0]))
            yield from (f"{INDENT * 2}{line}" for line in models or ["no model yet"])
    if not runs:
        yield f"{INDENT}no training run below {library.root}"
    if unknown:
        yield f"{INDENT}unknown for runs that an older version made: {', '.join(unknown)}"


def trained_rows(run: Run) -> TrainedRows | None:
    """Return the rows of a training run; None if it does not record them."""
    try:
        return TrainedRows.read(run.paths.rows)
    except OSError:
        return None


def text_and_requests(found: FoundRow, library: Library) -> Iterator[str]:
    """Yield the text of a row, what its request showed, and the request with its reply."""
    texts = texts_of(found.row.example.content)
    if texts is not None:
        yield from _block("text", "\n\n".join(filter(None, texts)))
    lineage = found.lineage
    for kind in ("seeds", "parents"):
        if names := lineage.get(kind):
            yield f"{INDENT}{kind}: {', '.join(map(str, names))}"
    records = _records(found, library)
    for key in found.requests:
        file, record = records.get(key, (None, None))
        if record is None:
            yield f"{INDENT}request {key}: in no ledger below {library.root}"
            continue
        yield f"{INDENT}request {key} in {file}"
        yield from _block("asked", _prompt(record["sent"]["prompt"]))
        yield from _block("replied", record["reply"]["text"])
    if not found.requests:
        yield f"{INDENT}no request: no generator of pacos wrote it"


def _records(found: FoundRow, library: Library) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the records of a row's requests by key, each with its ledger."""
    ledgers = [DataPaths(run.paths.data).ledger for run in library.of_stage("selfinstruct")]
    own = found.file.absolute().parent
    # That beside the row first: rows of other ledgers are copies.
    ledgers.sort(key=lambda file: file.absolute().parent != own)
    records: dict[str, tuple[Path, dict[str, Any]]] = {}
    for ledger in ledgers:
        missing = [key for key in found.requests if key not in records]
        if missing and ledger.is_file():
            new = find_records(ledger, missing)
            records |= {key: (ledger, record) for key, record in new.items()}
    return records


def _prompt(prompt: str | Sequence[Mapping[str, str]]) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"[{message['role']}] {message['content']}" for message in prompt)


def _block(heading: str, text: str) -> Iterator[str]:
    yield f"{INDENT}{heading}"
    yield from (f"{INDENT}| {line}".rstrip() for line in text.splitlines())


def show_hash(content: int) -> str:
    """Return the hash of a row's content as 16 hexadecimal digits."""
    return f"{content:016x}"


def _find(subject: str, library: Library) -> list[FoundRow]:
    place = PLACE.fullmatch(subject)
    if place and Path(place["file"]).expanduser().is_file():
        return [_at(Path(place["file"]).expanduser(), int(place["number"]), library)]
    wanted = int(subject, 16) if HASH.fullmatch(subject) else None
    found = []
    for data in data_sets(library):
        for row in read_rows(data):
            each = FoundRow(data, row)
            # A task of the pool has the id of its rows without their last number.
            own = row.example.id or ""
            has_id = bool(own) and subject in (own, own.rpartition("_")[0])
            if has_id or (wanted is not None and each.content == wanted):
                found.append(each)
    return found


def _at(file: Path, number: int, library: Library) -> FoundRow:
    """Return the row of a file, read as the first run that used the file reads it."""
    known = (
        data
        for data in data_sets(library)
        if file.absolute() in {Path(each).absolute() for each in data.source.location.files}
    )
    data = next(known, None) or TrainingData(open_source(str(file)), SourceConfig(path=str(file)))
    for row in read_rows(data):
        if row.number == number:
            return FoundRow(data, row)
    raise UserError(f"{file}:{number}: no row there that can be trained on; give another line")


def data_sets(library: Library) -> Iterator[TrainingData]:
    """Yield every data set that a run below the folder made or read, and that is still there."""
    seen = set()
    for run in library.runs:
        configs = []
        if run.stage == "selfinstruct":
            configs = [SourceConfig(path=str(DataPaths(run.paths.data).rows))]
        elif run.stage == "sft":
            configs = source_configs(run.paths)
        for config in configs:
            try:
                data = TrainingData(open_source(config.path), config)
            except UserError:
                # Gone since: the rows that a run trained on are known by their hashes.
                continue
            location = data.source.location
            files = [Path(file).absolute() for file in location.files]
            key = repr((files, location.cut, replace(config, path="", weight=1.0)))
            if key not in seen:
                seen.add(key)
                yield data
