"""Real ranks on the nodes of a live Slurm: DeepSpeed, gloo, a LLaMA of a few layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.files import read_jsonl
from pacos.run.lives import State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.sft.small_runs import model_folder, write_rows
from tests.slurm.mini_slurm import MiniSlurm
from tests.slurm.site import Site, ends

STEPS = 12


@pytest.fixture
def site(slurm: MiniSlurm, tmp_path: Path) -> Site:
    site = Site(slurm, tmp_path, stand_in=False)
    model_folder(tmp_path / "model")
    write_rows(tmp_path / "rows.jsonl")
    return site


def words(*more: str) -> list[str]:
    """Two ranks on two nodes, three epochs of four steps."""
    return [
        *("model.path=model", "model.shape.vocab_size=259", "model.shape.hidden_size=32"),
        *("model.shape.intermediate_size=48", "model.shape.num_attention_heads=4"),
        *("model.shape.num_key_value_heads=4", "model.pad_token='<|endoftext|>'"),
        *("data.max_length=128", "batch.tokens=512", "cluster.device=cpu"),
        *("optimizer.lr=3e-3", f"max_steps={STEPS}", *more),
    ]


def losses(run: RunPaths) -> list[float]:
    return [record[metrics.LOSS] for record in read_jsonl(run.metrics)]


def test_two_nodes_train(site: Site) -> None:
    run, job = site.submit("two", *words("deepspeed=zero3"))
    ended = site.wait_for_end(job, seconds=120)
    assert ended["JobState"] == "COMPLETED", Path(ended["StdOut"]).read_text()
    assert len(losses(run)) == STEPS
    assert losses(run)[-1] < losses(run)[0]
    assert (run.model / "model.safetensors").is_file()
    assert "node" in Path(ended["StdOut"]).read_text()


@pytest.mark.slow
def test_a_run_that_is_requeued_ends_with_the_weights_of_a_straight_one(site: Site) -> None:
    straight, first = site.submit("straight", *words())
    assert site.wait_for_end(first, seconds=120)["JobState"] == "COMPLETED"
    cut, job = site.submit("cut", *words("checkpoint.every_steps=3"))
    site.wait_for_step(cut, 1)
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    assert site.wait_for_end(job, seconds=240)["JobState"] == "COMPLETED"
    assert site.slurm.job(job)["Restarts"] == "1"
    assert [end["state"] for end in ends(cut)] == [State.saved.value, State.done.value]
    assert losses(cut) == losses(straight)
    weights = [(run.model / "model.safetensors").read_bytes() for run in (cut, straight)]
    assert weights[0] == weights[1]
