"""The terms in a chain: input → terms → duties → what the model may be used for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pacos.errors import UserError
from pacos.files import read_json
from pacos.run_paths import RunPaths
from pacos.terms.record import DISCLAIMER, read_record
from pacos.terms.show import conflicts, duties, name_of, stated_of, use_sentence, waiver

WIDTH = 100
"""Characters of a line."""

MADE = {"selfinstruct": "data set", "sft": "model"}
"""What a stage makes, for the stages that make something with terms."""


def terms_of(run: RunPaths) -> str:
    """Return the terms of what a run made; of a pipeline, those of the data set and the model.

    Raises:
        UserError: the run makes neither a data set nor a model, or has not begun to.
    """
    parts = [run, *(run.stage(stage) for stage in MADE)]
    records = [
        (MADE[stage], record)
        for part in parts
        if part.manifest.is_file()
        for stage in [read_json(part.manifest)["stage"]]
        if stage in MADE
        for record in [read_record(part)]
        if record["inputs"]
    ]
    if not records:
        raise UserError(
            f"{run.path}: records no terms: it makes no data set or model, or has not read its "
            "inputs yet; give a run of pacos sft, selfinstruct or pipeline that has begun"
        )
    return "\n\n".join("\n".join(_section(*entry)) for entry in records) + f"\n\n{DISCLAIMER}"


def _section(made: str, record: Mapping[str, Any]) -> Iterator[str]:
    checked = "not checked" if record["policy"] == "none" else "checked"
    yield f"{made.capitalize()}, {checked} (license_policy={record['policy']})"
    yield ""
    works = [
        (work["role"], name_of(work), stated_of(work), work["permits"]) for work in record["inputs"]
    ]
    table = [("input", "name", "terms", "permits"), *works]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()
    yield from _list("duties", duties(record))
    yield from _list("clauses that forbid a use", conflicts(record))
    yield from _list("waiver", [waiver(record) or ""])
    yield from _list("documents", list(_documents(record)))
    yield ""
    yield from _wrapped(f"The {made} {use_sentence(record)}", "")


def _documents(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the documents that were read, each once, with what was not checked in them."""
    seen = {work["terms"]: work for work in record["inputs"] if work["source"] != "none"}
    for terms, work in seen.items():
        caveat = f". {work['caveat']}" if work["caveat"] else ""
        yield f"{terms}: {work['source']}, {work['version']}{caveat}"


def _list(heading: str, lines: list[str]) -> Iterator[str]:
    lines = [line for line in lines if line]
    if lines:
        yield ""
        yield f"  {heading}"
        for line in lines:
            yield from _wrapped(line, "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  " if indent else "",
        break_on_hyphens=False,
        break_long_words=False,
    )
