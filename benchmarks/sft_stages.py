"""The same fine-tuning of SmolLM2 under ZeRO-2 and ZeRO-3: equal losses, and they fall.

python -m benchmarks.sft_stages ROWS [--rows N] [--precision P] [--out FILE]

Each stage runs `pacos sft` itself: two ranks, N rows drawn from ROWS, packed, one epoch of 32 rows
per step, 100 held-out rows. Prints one JSON object: the largest difference among the first 20
losses, the validation losses before, during and after, and the difference of the last ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from pacos.data.sources import open_source
from pacos.errors import UserError, exit_with
from pacos.files import read_jsonl, write_json
from pacos.run_paths import RunPaths
from pacos.tracking import metrics

RANKS = 2
FIRST = 20
"""Losses from the start that are compared one by one."""


def trained(stage: int, source: Path, weight: float, precision: str, folder: Path) -> RunPaths:
    """Train with one ZeRO stage, and return the finished run."""
    overrides = [
        *("model=smollm2_135m", "data=alpaca", f"data.path={source}", f"data.weight={weight}"),
        *("batch.rows=32", "batch.tokens=null", "epochs=1", f"precision={precision}"),
        *("optimizer.lr=2e-5", "validation.rows=100", "validation.every_steps=20"),
        *("validation.samples=0", f"deepspeed=zero{stage}", "cluster.device=cpu"),
        *(f"cluster.ranks_per_node={RANKS}", f"run.root={folder}", f"run.name=zero{stage}"),
    ]
    command = [str(Path(sys.executable).parent / "pacos"), "sft", *overrides]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise UserError(f"ZeRO-{stage} failed; its messages are above")
    return RunPaths(folder / f"zero{stage}")


def measured(run: RunPaths) -> dict[str, Any]:
    records = list(read_jsonl(run.metrics))
    steps = [record for record in records if metrics.LOSS in record]
    return {
        "steps": len(steps),
        "losses": [record[metrics.LOSS] for record in steps],
        "validation": {
            record[metrics.STEP]: record[metrics.VALIDATION_LOSS]
            for record in records
            if metrics.VALIDATION_LOSS in record
        },
        "seconds": round(sum(record[metrics.STEP_SECONDS] for record in steps), 1),
    }


def main() -> int:
    """Train, compare and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    weight = options.rows / sum(1 for _ in open_source(str(options.file)).records())
    report: dict[str, Any] = {
        **provenance(),
        "ranks": RANKS,
        "rows": options.rows,
        "precision": options.precision,
    }
    try:
        with tempfile.TemporaryDirectory() as name:
            for stage in (2, 3):
                run = trained(stage, options.file, weight, options.precision, Path(name))
                report[f"zero{stage}"] = measured(run)
    except UserError as error:
        return exit_with(error)
    two, three = report["zero2"], report["zero3"]
    pairs = zip(two["losses"][:FIRST], three["losses"][:FIRST], strict=True)
    report["first_losses_apart"] = max(abs(a - b) for a, b in pairs)
    ends = [list(each["validation"].values())[-1] for each in (two, three)]
    report["validation_apart"] = abs(ends[0] / ends[1] - 1)
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
