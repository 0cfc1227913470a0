"""Fill of packs, time of packing, and balance of steps over ranks.

python -m benchmarks.packing ROWS [--rows N] [--model PATH] [--max-length N] [--out FILE]

N lengths are drawn from those of ROWS, tokenised in the alpaca format. They are packed over the
whole corpus, and for comparison in two other ways: in windows of 1,000 rows, as peers do that pack
while mapping a data set; and in the order of the rows, with a new pack whenever the next row does
not fit. Then ten million lengths are packed. Steps are divided over 8 ranks that train LLaMA 7B.
Shares are in per cent. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.provenance import provenance
from pacos.data.sources import open_source
from pacos.errors import UserError, exit_with
from pacos.files import write_json
from pacos.model.loading import load_tokenizer
from pacos.model.shape import ModelShape
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.schemas import Row
from sft.configs.batch import BatchConfig, Layout
from sft.steps.packing import Ints, pack_rows
from sft.steps.plan import StepPlan

WINDOW = 1000
MANY = 10_000_000
RANKS = 8
T = TypeVar("T")


def drawn_lengths(rows: Path, model: str, count: int, max_length: int) -> Ints:
    """Return [count] lengths in tokens, drawn from those of the rows that fit."""
    records = [record for _, record in open_source(str(rows)).records()]
    turns = [Row.from_json(record, "").messages() for record in records if record["output"]]
    lengths = np.array(
        [len(row.ids) for row in encode(load_tokenizer(model), PromptFormat.alpaca, turns)]
    )
    fitting = lengths[lengths <= max_length]
    return np.random.default_rng(0).choice(fitting, count)


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return the result of the work, and its seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    done = work()
    return done, {
        "seconds": round(time.perf_counter() - clock, 3),
        "processor_seconds": round(time.process_time() - processor, 3),
    }


def packing(lengths: Ints, max_length: int) -> dict[str, Any]:
    """Return the fill of packs by three methods, in per cent."""

    def full(packs: int) -> float:
        return round(100 * float(lengths.sum()) / packs / max_length, 3)

    packs, seconds = timed(lambda: pack_rows(lengths, max_length))
    windows = [lengths[at : at + WINDOW] for at in range(0, len(lengths), WINDOW)]
    in_order, room = 0, 0
    for length in lengths.tolist():
        if length > room:
            in_order, room = in_order + 1, max_length
        room -= length
    return {
        "rows": len(lengths),
        "mean_length": round(float(lengths.mean()), 1),
        "full": {
            "whole corpus": full(len(packs)),
            "windows": full(sum(len(pack_rows(window, max_length)) for window in windows)),
            "in order": full(in_order),
        },
        **seconds,
    }


def balance(lengths: Ints, max_length: int, batch: BatchConfig) -> dict[str, Any]:
    """Return the work of the busiest rank over the mean, less 1, and the share of padding."""
    plan = StepPlan.of(lengths, max_length, batch, ModelShape())
    uneven = [100 * share for share in plan.imbalance(seed=0, ranks=RANKS)]
    real = run = 0
    for index in range(plan.steps_per_epoch):
        for share in plan.divide(plan.step(0, 0, index), RANKS):
            for packs in share:
                inside = lengths[plan.rows(packs)]
                real += int(inside.sum())
                run += len(inside) * int(inside.max(initial=0))
    return {
        "layout": batch.layout.name,
        "rows": batch.rows,
        "tokens": batch.tokens,
        "micro_packs": batch.micro_packs,
        "packs_a_step": round(len(plan.packs) / plan.steps_per_epoch, 2),
        "uneven_mean": round(statistics.fmean(uneven), 3),
        "uneven_worst": round(max(uneven), 3),
        "padding": 0.0 if batch.layout is Layout.packed else round(100 * (1 - real / run), 2),
    }


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS")
    parser.add_argument("--rows", type=int, default=52_002)
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    size = options.max_length
    facts = provenance()
    try:
        lengths = drawn_lengths(options.file, options.model, options.rows, size)
    except UserError as error:
        return exit_with(error)
    # Timing only: the fill of ten million lengths is that of the corpus they are drawn from.
    many = np.random.default_rng(1).choice(lengths, MANY)
    batches = [BatchConfig(tokens=RANKS * packs * size) for packs in (2, 4, 8, 16)]
    batches.append(BatchConfig(rows=128))
    for layout in (Layout.grouped, Layout.padded):
        batches.append(BatchConfig(rows=128, layout=layout, micro_packs=4))
    report = {
        **facts,
        "max_length": size,
        "ranks": RANKS,
        "packing": packing(lengths, size),
        "ten_million": timed(lambda: pack_rows(many, size))[1],
        "steps": [balance(lengths, size, batch) for batch in batches],
    }
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
