"""The data set on disk: rows in three forms, held-out rows, rejected candidates, figures, card."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pacos.files import atomic_write, write_json, write_jsonl
from pacos.run_paths import DataPaths
from pacos.schemas import Row, SeedTask, read_seed_tasks
from pacos.text.language import language
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.card import card
from selfinstruct.dataset.measures import measure
from selfinstruct.dataset.requirements import requirements
from selfinstruct.generate import Bootstrap, Rejection
from selfinstruct.pool.pool import Pool

SHIPPED_TERMS = "Apache-2.0 (pacos)"

COLUMNS = ("id", "instruction", "input", "output", "source", "lineage")
"""Of the Parquet files, all texts. `lineage` is JSON: its fields differ from seeds to generated
rows, and `datasets` wants one type in all splits."""


def seed_terms(config: SelfInstructConfig) -> str:
    """Licence of the seeds; of a user's own file what the config says."""
    return SHIPPED_TERMS if config.seeds.path is None else config.seeds.terms


def read_seeds(config: SelfInstructConfig) -> dict[str, list[SeedTask]]:
    """The seeds by language; those of a user's file are told apart by the language they are in.

    Raises:
        UserError: a line of a file is no seed task.
    """
    files = config.seed_files()
    if config.seeds.path is None or len(files) == 1:
        return {lang: read_seed_tasks(path) for lang, path in files.items()}
    tasks = read_seed_tasks(next(iter(files.values())))
    return {lang: [task for task in tasks if _en_or_ko(task) == lang] for lang in files}


def _en_or_ko(task: SeedTask) -> str:
    return "ko" if language(task.instruction) == "ko" else "en"


def export(folder: Path, config: SelfInstructConfig, pool: Pool, bootstrap: Bootstrap) -> None:
    """Write the data set; each file appears whole, data.jsonl last."""
    files = DataPaths(folder)
    rejections = bootstrap.rejections
    heldout = seed_rows(pool.heldout, config)
    rows = [*seed_rows(pool.seeds, config), *map(_writable_row, bootstrap.rows)]
    measures = measure(rows, len(heldout), bootstrap.requests, [*map(_reason, rejections)], config)
    table = requirements(measures)
    write_jsonl(files.heldout, (row.to_json() for row in heldout))
    if heldout:
        atomic_write(files.heldout_parquet, parquet(heldout))
    write_jsonl(files.rejected, map(_rejected, rejections))
    write_json(files.measures, asdict(measures))
    write_json(files.requirements, [one.to_json() for one in table])
    atomic_write(files.card, card(config, measures, table))
    write_jsonl(files.conversations, map(conversation, rows))
    atomic_write(files.parquet, parquet(rows))
    write_jsonl(files.rows, (row.to_json() for row in rows))


def seed_rows(seeds: Iterable[SeedTask], config: SelfInstructConfig) -> list[Row]:
    """Seeds as rows, with what is known of them."""
    langs, terms = config.languages(), seed_terms(config)
    return [
        Row(
            id=seed.id,
            instruction=seed.instruction,
            input=seed.input,
            output=seed.output,
            source="seed",
            lineage={
                "lang": langs[0] if len(langs) == 1 else _en_or_ko(seed),
                "seeds": [seed.id],
                "terms": terms,
                "is_classification": seed.is_classification,
            },
        )
        for seed in seeds
    ]


def conversation(row: Row) -> dict[str, Any]:
    """The row in the `messages` schema: the input follows the instruction after an empty line."""
    asked = f"{row.instruction}\n\n{row.input}" if row.input else row.instruction
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": row.output},
    ]
    lineage = dict(row.lineage)
    return {"id": row.id, "messages": messages, "source": row.source, "lineage": lineage}


def parquet(rows: Sequence[Row]) -> bytes:
    """Rows as a Parquet file.

    Parquet, and not what `Dataset.save_to_disk` writes: pandas, DuckDB, the Hub's viewer and
    `load_dataset` read it, while only `load_from_disk` reads the other.
    """
    import pyarrow
    from pyarrow.parquet import write_table

    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    columns["lineage"] = [json.dumps(dict(row.lineage), ensure_ascii=False) for row in rows]
    texts = pyarrow.string()
    table = pyarrow.table({name: pyarrow.array(cells, texts) for name, cells in columns.items()})
    out = io.BytesIO()
    write_table(table, out, compression="zstd")
    return out.getvalue()


def _writable_row(row: Row) -> Row:
    return replace(
        row,
        instruction=_writable(row.instruction),
        input=_writable(row.input),
        output=_writable(row.output),
    )


def _writable(text: str) -> str:
    """A teacher's JSON can hold half a surrogate pair, which no file can."""
    return text.encode(errors="replace").decode()


def _reason(rejection: Rejection) -> str:
    reason, overlap = str(rejection.verdict.reason), rejection.verdict.overlap
    return reason if overlap is None else f"{reason}: {overlap.benchmark}"


def _rejected(rejection: Rejection) -> Mapping[str, Any]:
    """The candidate, why it was rejected, and what it was too close to, if that is why."""
    candidate, verdict = rejection.candidate, rejection.verdict
    nearest, overlap = verdict.nearest, verdict.overlap
    return {
        "reason": _reason(rejection),
        "instruction": _writable(candidate.instruction),
        "input": _writable(candidate.input),
        "output": _writable(candidate.output),
        "request": rejection.request,
        "nearest": None if nearest is None else asdict(nearest),
        "overlap": None if overlap is None else {**asdict(overlap), "kind": overlap.kind.value},
    }
