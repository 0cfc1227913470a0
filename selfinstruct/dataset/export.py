"""Write the data set: rows in three formats, held-out rows, rejections, measures and the card."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pacos.files import atomic_write, write_json, write_jsonl
from pacos.run_paths import DataPaths
from pacos.schemas import Row, SeedTask
from selfinstruct.candidates.candidate import encodable
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.card import card
from selfinstruct.dataset.measures import measure
from selfinstruct.dataset.requirements import requirements
from selfinstruct.pool.pool import Pool
from selfinstruct.screening.verdict import Rejection
from selfinstruct.seeds.reader import seed_language

COLUMNS = ("id", "instruction", "input", "output", "source", "lineage")
"""Columns of the Parquet files, all strings. `lineage` is JSON text: its fields differ between
seeds and generated rows, and `datasets` wants one type in all splits."""


def export(
    folder: Path,
    config: SelfInstructConfig,
    pool: Pool,
    generated: Sequence[Row],
    rejections: Sequence[Rejection],
    requests: int,
    compute: Sequence[str],
) -> None:
    """Write the data set into `folder`; every file is replaced atomically, data.jsonl last.

    Args:
        folder: the run's data folder.
        config: the run's config.
        pool: the source of the seeds, shown and held-out.
        generated: the generated rows.
        rejections: the rejected candidates, in order.
        requests: number of requests for tasks whose replies were used.
        compute: sentences of the card about hardware, hours and energy.
    """
    files = DataPaths(folder)
    heldout = seed_rows(pool.heldout, config)
    rows = [*seed_rows(pool.seeds, config), *map(_encodable_row, generated)]
    reasons = [_reason(rejection) for rejection in rejections]
    measures = measure(rows, len(heldout), requests, reasons, config)
    table = requirements(measures)
    write_jsonl(files.heldout, (row.to_json() for row in heldout))
    # `datasets` cannot make a split without rows.
    if heldout:
        atomic_write(files.heldout_parquet, parquet(heldout))
    write_jsonl(files.rejected, map(_rejected_record, rejections))
    write_json(files.measures, asdict(measures))
    write_json(files.requirements, [requirement.to_json() for requirement in table])
    atomic_write(files.card, card(config, measures, table, compute))
    write_jsonl(files.conversations, map(conversation, rows))
    atomic_write(files.parquet, parquet(rows))
    # Last: whoever finds data.jsonl finds the other files too.
    write_jsonl(files.rows, (row.to_json() for row in rows))


def seed_rows(seeds: Iterable[SeedTask], config: SelfInstructConfig) -> list[Row]:
    """Return seeds as rows, with their language, licence and kind as lineage."""
    langs, terms = config.languages(), config.seeds.source_terms()
    return [
        Row(
            id=seed.id,
            instruction=seed.instruction,
            input=seed.input,
            output=seed.output,
            source="seed",
            lineage={
                "lang": langs[0] if len(langs) == 1 else seed_language(seed),
                "seeds": [seed.id],
                "terms": terms,
                "is_classification": seed.is_classification,
            },
        )
        for seed in seeds
    ]


def conversation(row: Row) -> dict[str, Any]:
    """Return the row as `messages`: instruction, blank line and input; then the output."""
    question = f"{row.instruction}\n\n{row.input}" if row.input else row.instruction
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": row.output},
    ]
    lineage = dict(row.lineage)
    return {"id": row.id, "messages": messages, "source": row.source, "lineage": lineage}


def parquet(rows: Sequence[Row]) -> bytes:
    """Return rows as the bytes of a Parquet file.

    Not the format of `Dataset.save_to_disk`: only `load_from_disk` reads that, while pandas,
    DuckDB, the Hub's viewer and `load_dataset` all read Parquet.
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


def _encodable_row(row: Row) -> Row:
    return replace(
        row,
        instruction=encodable(row.instruction),
        input=encodable(row.input),
        output=encodable(row.output),
    )


def _reason(rejection: Rejection) -> str:
    """Return the stored reason; that of a leak names the benchmark."""
    reason, overlap = str(rejection.verdict.reason), rejection.verdict.overlap
    return reason if overlap is None else f"{reason}: {overlap.benchmark}"


def _rejected_record(rejection: Rejection) -> Mapping[str, Any]:
    """Return a line of rejected.jsonl."""
    candidate, verdict = rejection.candidate, rejection.verdict
    nearest, overlap = verdict.nearest, verdict.overlap
    return {
        "reason": _reason(rejection),
        "instruction": encodable(candidate.instruction),
        "input": encodable(candidate.input),
        "output": encodable(candidate.output),
        "request": rejection.request,
        "nearest": None if nearest is None else asdict(nearest),
        "overlap": None if overlap is None else {**asdict(overlap), "kind": overlap.kind.value},
    }
