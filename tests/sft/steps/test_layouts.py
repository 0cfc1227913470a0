"""Whole runs over mixed data in every layout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pacos.files import read_json, read_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.configs.batch import Layout

PACOS = Path(sys.executable).with_name("pacos")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides: 20 rows, one of them broken and one too long, and half of 8 conversations."""
    folder = tmp_path_factory.mktemp("data")
    rows = [{"instruction": f"Count to {n}.", "output": "one " * n} for n in range(1, 19)]
    rows += [
        {"instruction": "Sing.", "output": ""},
        {"instruction": "Go on.", "output": "a " * 200},
    ]
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello you."}]
    talks = [{"messages": turns * n} for n in range(1, 9)]
    for name, records in (("rows", rows), ("talks", talks)):
        lines = [json.dumps(record) + "\n" for record in records]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return [
        f"data.path={folder}/rows.jsonl",
        f"+data.mix={{{folder}/talks.jsonl:0.5}}",
        "data.max_length=160",
        "data.on_error=quarantine",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_step_has_the_same_loss_in_every_layout(
    data: list[str], tmp_path: Path, ranks: int
) -> None:
    """Each epoch is one step, so that all layouts have the same rows in it."""
    losses = {}
    for layout in Layout:
        arguments = [
            *("model=tiny", *data, "batch.rows=64", "batch.tokens=null", "precision=fp32"),
            *(f"batch.layout={layout.name}", "batch.micro_packs=2", "epochs=3"),
            *(f"cluster.ranks_per_node={ranks}", f"run.root={tmp_path}", f"run.name={layout.name}"),
        ]
        done = subprocess.run(
            [PACOS, "sft", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        run = RunPaths(tmp_path / layout.name)
        records = list(read_jsonl(run.metrics))
        losses[layout] = [record[metrics.LOSS] for record in records]
        assert [record[metrics.ROWS] for record in records] == [22] * 3
        (broken,) = read_jsonl(run.path / "quarantined_rows.jsonl")
        assert broken["place"].endswith("rows.jsonl:19")
        (long,) = read_jsonl(run.path / "dropped_rows.jsonl")
        assert long["place"].endswith("rows.jsonl:20")
        inputs = read_json(run.manifest)["inputs"]
        assert [Path(file["path"]).name for file in inputs.values()] == [
            "rows.jsonl",
            "talks.jsonl",
        ]
    for layout in (Layout.grouped, Layout.padded):
        assert losses[layout] == pytest.approx(losses[Layout.packed], rel=1e-5)
