"""Parameters and optimizer states that wait on a disk, through DeepSpeed's own asynchronous I/O."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pacos.files import sha256
from pacos.run_paths import RunPaths

PACOS = Path(sys.executable).with_name("pacos")


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/include/libaio.h").is_file(), reason="the headers of libaio are not installed"
)
def test_a_model_on_disk_becomes_the_same_model(tmp_path: Path) -> None:
    rows = [{"instruction": f"Count to {n}.", "output": "one " * n} for n in range(1, 33)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    weights = set()
    for where in ("none", "nvme"):
        arguments = [
            *("model=tiny", f"data.path={data}", "data.max_length=160", "batch.tokens=1024"),
            *("deepspeed=zero3", f"deepspeed.offload_optimizer={where}", "epochs=1"),
            *(f"deepspeed.offload_parameters={where}", f"deepspeed.nvme_path={tmp_path}"),
            *("cluster.device=cpu", "cluster.ranks_per_node=2"),
            *(f"run.root={tmp_path}", f"run.name={where}"),
        ]
        done = subprocess.run(
            [PACOS, "sft", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        weights.add(sha256(RunPaths(tmp_path / where).model / "model.safetensors"))
    assert len(weights) == 1
    assert (tmp_path / "zero_stage_3" / "optimizer").is_dir()
