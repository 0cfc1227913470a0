"""Measurements on one GPU: doctor, kernels against fp64, packing, speed and memory of LLaMA shapes.

python -m benchmarks.gpu.measure [--model DIR] [--only PART…] [--dry-run] [--out FILE]

Parts: doctor (needs a model directory), kernels, layouts, 1b, 3b, 8b. Each measurement runs in a
process of its own, so that running out of memory only costs that one. Weights and tokens are
random. --dry-run puts a tiny shape through every setting on the CPU, to check the script itself.
`run.sh` beside this file calls it on a machine without network. The target is an MFU of 50 %.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pacos.files import write_json
from pacos.run.manifest import package_versions

LENGTHS = (2048, 4096, 8192)
TOKENS = 16_384
"""Tokens per pass: enough to keep a GPU busy, and few enough for its memory."""
LIMIT_SECONDS = 240
"""Time limit of one measurement."""

SETTINGS = {
    # 18 bytes per parameter: 22 GB and 58 GB.
    "1b": {"selective": ["model=llama3_2_1b", "activation_checkpointing=selective"]},
    "3b": {"full": ["model=llama3_2_3b", "activation_checkpointing=full"]},
    # 8B fits neither with 18 bytes per parameter (145 GB) nor with 10 (80 GB). Two settings do:
    "8b": {
        "states in bf16 (64 GB), weights in host memory (16 GB)": [
            *("model=llama3_1_8b", "precision=bf16_states", "deepspeed=zero3"),
            *("deepspeed.offload_parameters=cpu", "activation_checkpointing=full"),
        ],
        "update in fp32 in host memory (128 GB)": [
            *("model=llama3_1_8b", "deepspeed=zero2_offload", "activation_checkpointing=full"),
        ],
    },
}
COMPILED = {"1b": ["model=llama3_2_1b", "compile=true"]}
LAYOUTS, ROWS, DRY_ROWS = SETTINGS["1b"]["selective"], 128, 8
"""The part `layouts`: its model, and the rows per step."""
COMMON = ["data.path=none/none", "batch.tokens=131072", "cluster.threads_per_rank=8"]

PARTS = ["doctor", "kernels", "layouts", *SETTINGS]
DRY_LENGTHS, DRY_TOKENS = (32,), 64
DRY_SHAPE = [
    *("model.shape.hidden_size=64", "model.shape.intermediate_size=96"),
    *("model.shape.num_hidden_layers=2", "model.shape.num_attention_heads=4"),
    *("model.shape.num_key_value_heads=2", "model.shape.vocab_size=301", "cluster.device=cpu"),
]


def run_json(arguments: list[str]) -> dict[str, Any]:
    """Run a module, and return the JSON object that it prints last, or how it failed."""
    environment = os.environ | {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end within {LIMIT_SECONDS} s"}
    if done.returncode != 0:
        return {"failed": done.stderr.strip().splitlines()[-1:] or done.returncode}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def doctor(model: str | None, dry: bool) -> dict[str, Any]:
    """Return the findings of `pacos doctor` on this machine."""
    overrides = [f"model.path={model}"] if model else ["model=tiny"]
    overrides += ["cluster.device=cpu"] if dry else []
    done = subprocess.run(
        [sys.executable, "-m", "launch.cli", "doctor", *overrides],
        capture_output=True,
        text=True,
        check=False,
    )
    return {"exit code": done.returncode, "said": done.stdout.splitlines()[-40:]}


def speeds(part: str, dry: bool) -> list[dict[str, Any]]:
    """Measure each setting of a part at each length."""
    settings = {**SETTINGS[part], **({"compiled": COMPILED[part]} if part in COMPILED else {})}
    rows = []
    for name, overrides in settings.items():
        for length in DRY_LENGTHS if dry else LENGTHS:
            arguments = [str(length), str(DRY_TOKENS if dry else TOKENS), *COMMON, *overrides]
            arguments += DRY_SHAPE if dry else ["cluster.device=cuda"]
            measured = run_json(["benchmarks.gpu.step", *arguments])
            rows.append({"part": part, "way": name, "length": length, **measured})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def device() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no GPU"
    query = "--query-gpu=name,driver_version,memory.total"
    done = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> int:
    """Measure all parts and print each result as it arrives; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", help="model directory, for its tokenizer")
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": device(),
        "dry_run": options.dry_run,
        "versions": package_versions(),
        "speeds": [],
    }
    for part in options.only or PARTS:
        if part == "doctor":
            report["doctor"] = doctor(options.model, options.dry_run)
        elif part == "kernels":
            arguments = ["--dry-run"] if options.dry_run else []
            report["kernels"] = run_json(["benchmarks.gpu.kernels", *arguments])
        elif part == "layouts":
            arguments = [str(DRY_ROWS if options.dry_run else ROWS), *COMMON, *LAYOUTS]
            arguments += DRY_SHAPE if options.dry_run else ["cluster.device=cuda"]
            report["layouts"] = run_json(["benchmarks.gpu.layouts", *arguments])
        else:
            report["speeds"] += speeds(part, options.dry_run)
        if options.out:
            write_json(options.out, report)
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
