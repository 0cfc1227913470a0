"""Packed against padded training on rows as long as Alpaca's, with one config.

python -m benchmarks.gpu.layouts ROWS OVERRIDE…

Both layouts make the same updates of ROWS rows of random tokens, with the same engine, kernels and
loss. Packed, a step is one pass over concatenated rows. Padded, as Alpaca was trained, each pass
has 4 rows padded to the longest. Prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.gpu.step import STEPS, WARM_UP, start, timed_step
from pacos.configs.compose import compose_checked
from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.config import SCHEMAS, SFTConfig
from sft.steps.batch import Batch

PADDED_ROWS = 4
"""Rows per pass of the padded layout, as in Alpaca's recipe."""
PROMPT, ANSWER = (3.93, 0.29), (3.58, 1.11)
"""Mean and standard deviation of log tokens, over 5,000 Alpaca rows in its own format."""
LONGEST = 512
"""Token limit of a row, as in Alpaca's recipe."""


def rows_like_alpaca(count: int, vocabulary: int) -> list[TokenizedRow]:
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        prompt = int(np.clip(draw.lognormal(*PROMPT), 30, 200))
        answer = int(np.clip(draw.lognormal(*ANSWER), 2, LONGEST - prompt))
        ids = draw.integers(vocabulary, size=prompt + answer, dtype=np.int32)
        rows.append(TokenizedRow(ids, np.where(np.arange(len(ids)) < prompt, IGNORE, ids)))
    return rows


def measure(config: SFTConfig, count: int) -> dict[str, Any]:
    """Return supervised tokens per second of both layouts, and their ratio."""
    rows = rows_like_alpaca(count, config.model.shape.vocab_size)
    groups = [rows[at : at + PADDED_ROWS] for at in range(0, count, PADDED_ROWS)]
    rates = {}
    for layout, accumulation in (("packed", 1), ("padded", len(groups))):
        engine, world = start(config, accumulation)
        if layout == "packed":
            passes = [Batch.of(rows, engine.device)]
        else:
            passes = [Batch.of(group, engine.device, padded=True) for group in groups]
        seconds = [timed_step(engine, world, passes)[0] for _ in range(WARM_UP + STEPS)]
        supervised = sum(len(batch.targets) for batch in passes)
        rates[layout] = round(supervised / statistics.median(seconds[WARM_UP:]), 1)
        del engine
    tokens = sum(len(row.ids) for row in rows)
    padded = sum(len(group) * max(len(row.ids) for row in group) for group in groups)
    return {
        "rows_a_step": count,
        "supervised_tokens_per_second": rates,
        "packed_over_padded": round(rates["packed"] / rates["padded"], 2),
        "padded_over_real_tokens": round(padded / tokens, 2),
    }


def main() -> int:
    """Measure one config and print, and return the exit code."""
    count, *overrides = sys.argv[1:]
    config = compose_checked(SFTConfig, SCHEMAS, ["model.init=random", *overrides])
    print(json.dumps(measure(config, int(count))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
