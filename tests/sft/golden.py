"""The run whose losses are pinned: two real ranks, started as a user starts them.

python -m tests.sft.golden      trains it, keeps its losses, and prints old and new side by side
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

from pacos.files import read_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "assets" / "losses_tiny.json"
BIN = Path(sys.executable).parent
PLACES = ["a harbour", "the night market", "a mountain hut", "my grandmother's kitchen"]
MOODS = ["quiet", "crowded", "bright with rain", "full of music", "empty at last", "warm"]


def write_rows(path: Path) -> Path:
    with path.open("w") as file:
        for place in PLACES:
            for number, mood in enumerate(MOODS, start=1):
                row = {
                    "instruction": f"Describe {place} in {number} sentences.",
                    "input": mood if number % 2 else "",
                    "output": f"It is {mood} in {place}. " * number,
                    "lineage": {"terms": "CC0-1.0"},
                }
                file.write(json.dumps(row) + "\n")
    return path


def overrides(rows: Path, root: Path, name: str, *more: str) -> list[str]:
    return [
        "model=tiny",
        f"data.path={rows}",
        "data.max_length=128",
        "batch.tokens=512",
        "precision=fp32",
        "optimizer.lr=1e-3",
        "epochs=4",
        "checkpoint.every_steps=2",
        "cluster.ranks_per_node=2",
        f"run.root={root}",
        f"run.name={name}",
        *more,
    ]


def train(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "pacos", "sft", *arguments], capture_output=True, text=True, check=False
    )


def losses(run: RunPaths) -> list[float]:
    return [record[metrics.LOSS] for record in read_jsonl(run.metrics)]


def rates(run: RunPaths) -> list[float]:
    return [record[metrics.LEARNING_RATE] for record in read_jsonl(run.metrics)]


def main() -> None:
    old = json.loads(GOLDEN.read_text())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        done = train(overrides(write_rows(root / "rows.jsonl"), root, "golden"))
        if done.returncode:
            sys.exit(done.stderr)
        new = [round(loss, 5) for loss in losses(RunPaths(root / "golden"))]
    GOLDEN.write_text(json.dumps(new, indent=1) + "\n")
    for step, (before, after) in enumerate(zip_longest(old, new), start=1):
        print(step, before, after)


if __name__ == "__main__":
    main()
