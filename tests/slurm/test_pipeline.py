"""A pipeline on nodes without internet: API parts on the login node, models on the nodes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pacos.files import read_jsonl
from pacos.run.lives import State
from pacos.run_paths import RunPaths
from tests.conftest import ROOT
from tests.slurm.mini_slurm import MiniSlurm
from tests.slurm.site import Site, ends

GENERATOR_PORT, JUDGE_PORT = 8101, 8102
"""Ports on 127.0.0.1 of the login node, which no compute node can reach."""


@pytest.fixture
def site(slurm: MiniSlurm, tmp_path: Path, tokenizer: Any) -> Site:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    folder = tmp_path / "base"
    LlamaForCausalLM(LlamaConfig(vocab_size=49152, **sizes, **heads)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Site(slurm, tmp_path, stand_in=False)


def words(site: Site) -> list[str]:
    generator, judge = (f"http://127.0.0.1:{port}/v1" for port in (GENERATOR_PORT, JUDGE_PORT))
    return [
        *site.pipeline("whole", f"sft.model.path={site.folder / 'base'}", "sft.max_steps=3"),
        *("generator@selfinstruct.generator=server", "selfinstruct.generator.terms=CC0-1.0"),
        *(f"selfinstruct.generator.endpoint.url={generator}", "selfinstruct.target_rows=8"),
        *("selfinstruct.generator.endpoint.model=scripted", "sft.cluster.device=cpu"),
        *(
            "sft.data.max_length=512",
            "sft.batch.tokens=1024",
            "eval.cluster.device=cpu",
            "eval.cluster.threads_per_rank=1",
        ),
        *("suite@eval.suite=geval", "eval.suite.rubrics=[cover_letter_en]", "eval.limit=1"),
        *("eval.geval.answer_tokens=8", "judge@eval.judge=server"),
        *(f"eval.judge.endpoint.url={judge}", "eval.judge.endpoint.model=judge"),
    ]


@pytest.mark.slow
def test_api_parts_are_done_at_login_and_survive_a_killed_coordinator(site: Site) -> None:
    path = f"PYTHONPATH={ROOT}"
    for module, port in (
        ("tests.selfinstruct.generator_server", GENERATOR_PORT),
        ("tests.eval.geval.judge_server", JUDGE_PORT),
    ):
        site.slurm.start("env", path, sys.executable, "-m", module, "--port", str(port))
    typed = words(site)
    first = site.pacos("pipeline", *typed)
    assert first.returncode == 0, first.stderr
    whole = RunPaths(site.folder / "runs" / "whole")
    parts = {name: RunPaths(whole.path / name) for name in ("selfinstruct", "sft", "eval")}
    site.slurm.until(parts["sft"].job_id.is_file, "generated at login, training submitted", 240)
    assert not parts["selfinstruct"].job_id.exists()

    coordinator = re.search(r"coordinator: process (\d+)", first.stdout)
    assert coordinator is not None
    assert "its coordinator is running" in site.pacos("pipeline", *typed).stdout
    site.slurm.run("kill", "-9", coordinator[1])
    second = site.pacos("pipeline", *typed)
    assert "coordinator: process" in second.stdout, second.stderr
    site.wait(whole, State.done, seconds=400)
    assert whole.report.is_file()
    assert len(ends(parts["sft"])) == 1, "the job went on without its coordinator"
    hosts = {name: _hosts(run) for name, run in parts.items()}
    assert hosts["selfinstruct"] == ["login"]
    assert set(hosts["sft"]) <= set(site.slurm.nodes)
    assert hosts["eval"][0] in site.slurm.nodes
    assert hosts["eval"][1] == "login"
    (judged,) = (parts["eval"].eval / "geval").glob("judge-*")
    assert (judged / "certificate.json").is_file()


def _hosts(run: RunPaths) -> list[str]:
    return [record["host"] for record in read_jsonl(run.attempts) if "host" in record]
