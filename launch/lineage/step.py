"""From a step of a training run to its rows, those of the highest loss first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from launch.lineage.rows import FoundRow, show_hash, text_and_requests, trained_rows
from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.lineage.library import Library, Run
from pacos.lineage.records import TrainingData, read_rows, source_configs
from pacos.lineage.trained_rows import TrainedRows
from pacos.tracking import metrics

REQUEST_DIGITS = 12
"""Digits shown of the key of a request."""


def rows_of_step(run: Run, step: int, library: Library) -> Iterator[str]:
    """Yield the rows of a step, with the loss of their pass where it was unusual.

    Raises:
        UserError: the run does not record its rows, or has no such step.
    """
    rows = trained_rows(run)
    if rows is None:
        raise UserError(
            f"{run.paths.path}: records no rows; a run of pacos sft does once it trains, unless an "
            "older version made it: its own command continues it"
        )
    indices = rows.of_step(step)
    if not len(indices):
        last = int(rows.steps.max(initial=0))
        raise UserError(f"--step {step}: {run.paths.path} has the steps 1 to {last}; give one")
    yield from _events(run, step)
    contents = rows.contents[indices]
    found = _found(run, rows, indices)
    losses = _losses(run, step)
    order = sorted(
        range(len(indices)),
        key=lambda each: -losses.get(_key(run, found[each]), -np.inf),
    )
    yield f"{'pass loss':>9}  {'row':16}  {'requests':{REQUEST_DIGITS}}  place"
    for each in order:
        row = found[each]
        loss = losses.get(_key(run, row))
        shown = "" if loss is None else "not finite" if loss == np.inf else f"{loss:.3f}"
        requests = ",".join(key[:REQUEST_DIGITS] for key in row.requests) if row else ""
        place = row.place if row else "changed or removed since"
        content = show_hash(int(contents[each]))
        yield f"{shown:>9}  {content}  {requests:{REQUEST_DIGITS}}  {place}"
    first = found[order[0]]
    if first is not None:
        yield ""
        yield f"the first of them, {show_hash(first.content)}"
        yield from text_and_requests(first, library)


def _events(run: Run, step: int) -> Iterator[str]:
    """Yield the loss of the step, and what was unusual about it."""
    records = [line for line in read_jsonl(run.paths.metrics) if line[metrics.STEP] == step]
    loss = next((line[metrics.LOSS] for line in records if metrics.LOSS in line), None)
    yield f"step {step} of {run.paths.path}: " + (
        "not trained yet" if not records else "loss " + ("–" if loss is None else f"{loss:.4f}")
    )
    for event in _unusual(run, step):
        if event["event"] == "spike":
            yield f"  {event['metric']} {event['value']:.4g}, usually {event['usual']:.4g}"
        else:
            yield f"  {event['event']}"


def _unusual(run: Run, step: int) -> list[dict[str, Any]]:
    return [
        event
        for event in read_jsonl(run.paths.health)
        if event[metrics.STEP] == step and "passes" in event
    ]


def _losses(run: Run, step: int) -> Mapping[str, float]:
    """Return the loss of each row's pass by the row's absolute place; only of an unusual step."""
    return {
        run.absolute(place): np.inf if part["loss"] is None else part["loss"]
        for event in _unusual(run, step)
        for part in event["passes"]
        for place in part["rows"]
    }


def _key(run: Run, row: FoundRow | None) -> str:
    return "" if row is None else run.absolute(row.place)


def _found(run: Run, rows: TrainedRows, indices: np.ndarray) -> list[FoundRow | None]:
    """Return the rows as their data sets hold them; None for one that is not there any more."""
    found: dict[tuple[int, int], FoundRow] = {}
    wanted: dict[int, set[int]] = {}
    for index in indices:
        wanted.setdefault(int(rows.sources[index]), set()).add(int(rows.numbers[index]))
    for number, config in enumerate(source_configs(run.paths)):
        numbers = wanted.get(number, set())
        if not numbers:
            continue
        try:
            data = TrainingData(open_source(config.path), config)
        except UserError:
            continue
        for row in read_rows(data):
            if row.number in numbers:
                found[number, row.number] = FoundRow(data, row)
    there: list[FoundRow | None] = []
    for index in indices:
        now = found.get((int(rows.sources[index]), int(rows.numbers[index])))
        # The hash tells whether the file still holds the row that was trained on.
        same = now is not None and now.content == int(rows.contents[index])
        there.append(now if same else None)
    return there
