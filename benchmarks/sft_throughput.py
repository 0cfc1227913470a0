"""Supervised tokens per second of pacos, of TRL, and of Alpaca's padded batches, on two ranks.

python -m benchmarks.sft_throughput ROWS [--count N] [--step-rows N] [--precision P]
                                [--ways WAY…] [--out FILE]

All three train SmolLM2-135M for one epoch on the same N rows, drawn from those that fit, with the
same tokens, the same mask, and 128 rows per step as in Alpaca's recipe. Only the time of the steps
counts, without start and saving. pacos is the command itself, timed by metrics.jsonl. TRL uses
best-fit packing and its chunked loss, its fastest correct setting on a CPU (see `sft_peers`).
Alpaca's way is transformers.Trainer with batches of 4 rows per rank, padded to the longest. Needs
the extra `bench`. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import provenance
from launch.local import ALLOCATOR
from pacos.data.sources import open_source
from pacos.errors import UserError, exit_with
from pacos.files import read_jsonl, write_json, write_jsonl
from pacos.model.loading import load_tokenizer, model_directory
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.run_paths import RunPaths
from pacos.schemas import Row
from pacos.tracking import metrics

MODEL = "embedded:smollm2-135m-instruct"
RANKS = 2
MAX_LENGTH = 512
MICRO = {"trl": 1, "alpaca": 4}
"""Packs or rows per rank and pass; Alpaca's recipe has 4 rows."""
SCRIPTS = Path(sys.executable).parent


def drawn_rows(source: Path, count: int, folder: Path) -> int:
    """Write the rows as text and as tokens, and return the number of supervised tokens."""
    records = [record for _, record in open_source(str(source)).records() if record["output"]]
    tokenizer = load_tokenizer(MODEL)
    # Twice as many as needed, because some exceed MAX_LENGTH.
    order = np.random.default_rng(0).permutation(len(records))[: 2 * count]
    drawn = [records[index] for index in order]
    turns = [Row.from_json(record, "").messages() for record in drawn]
    encoded = encode(tokenizer, PromptFormat.chatml, turns)
    fitting = [at for at, row in enumerate(encoded) if len(row.ids) <= MAX_LENGTH][:count]
    write_jsonl(folder / "rows.jsonl", [drawn[at] for at in fitting])
    tokens = [
        {"input_ids": np.asarray(row.ids).tolist(), "labels": np.asarray(row.labels).tolist()}
        for row in (encoded[at] for at in fitting)
    ]
    write_jsonl(folder / "tokens.jsonl", tokens)
    return sum(encoded[at].num_supervised for at in fitting)


def environment() -> dict[str, str]:
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    threads = str(max(1, len(os.sched_getaffinity(0)) // RANKS))
    return os.environ | {
        "PATH": path,
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "true",
        # The allocator that pacos sets for its ranks, for all: it speeds the peers up too.
        **ALLOCATOR,
    }


def run(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{' '.join(command[:6])} … failed:\n{done.stderr[-3000:]}")
    return done.stdout


def pacos(folder: Path, step_rows: int, precision: str) -> dict[str, Any]:
    """Train one epoch with `pacos sft`, packed, ZeRO-1: ranks exchange gradients once per step."""
    overrides = [
        *("model=smollm2_135m", "model.prompt_format=chatml", f"data.path={folder}/rows.jsonl"),
        *(f"data.max_length={MAX_LENGTH}", f"batch.rows={step_rows}", "batch.tokens=null"),
        *("deepspeed=zero1", f"precision={precision}", "epochs=1", "optimizer.lr=1e-5"),
        *("schedule.decay=constant", "schedule.warmup_ratio=0", "cluster.device=cpu"),
        *(f"cluster.ranks_per_node={RANKS}", f"run.root={folder}", "run.name=pacos"),
        f"cluster.threads_per_rank={environment()['OMP_NUM_THREADS']}",
    ]
    run([str(SCRIPTS / "pacos"), "sft", *overrides])
    records = list(read_jsonl(RunPaths(folder / "pacos").metrics))
    return {
        "seconds": [record[metrics.STEP_SECONDS] for record in records],
        "losses": [record[metrics.LOSS] for record in records],
    }


def peer(way: str, folder: Path, step_rows: int, precision: str) -> dict[str, Any]:
    """Train one epoch with a peer's trainer and DDP."""
    model = model_directory(MODEL)
    arguments = [
        way,
        f"{folder}/tokens.jsonl",
        str(model),
        str(MAX_LENGTH),
        str(step_rows),
        precision,
    ]
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}"]
    launch += ["-m", "benchmarks.sft_peers", *arguments, str(MICRO[way])]
    return dict(json.loads(run([sys.executable, *launch]).strip().splitlines()[-1]))


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS")
    parser.add_argument("--count", type=int, default=384)
    parser.add_argument("--step-rows", type=int, default=128)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--ways", nargs="+", default=["pacos", *MICRO], choices=["pacos", *MICRO])
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    if "trl" in options.ways and importlib.util.find_spec("trl") is None:
        return exit_with(UserError("TRL is not installed; run pip install -e '.[bench]'"))
    report: dict[str, Any] = {
        **provenance("trl"),
        "ranks": RANKS,
        "rows": options.count,
        "step_rows": options.step_rows,
        "max_length": MAX_LENGTH,
        "precision": options.precision,
    }
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            supervised = drawn_rows(options.file, options.count, folder)
            for way in options.ways:
                if way == "pacos":
                    measured = pacos(folder, options.step_rows, options.precision)
                else:
                    measured = peer(way, folder, options.step_rows, options.precision)
                rate = supervised / sum(measured["seconds"])
                measured["supervised_tokens_per_second"] = round(rate, 2)
                report[way] = measured
    except UserError as error:
        return exit_with(error)
    report["supervised_tokens"] = supervised
    if "pacos" in report:
        own = sum(report["pacos"]["seconds"])
        report["pacos_over"] = {
            way: round(sum(report[way]["seconds"]) / own, 3) for way in MICRO if way in report
        }
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
