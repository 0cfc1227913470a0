from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import EvalConfig
from eval.configs.geval import GEvalConfig
from pacos.configs.judge import JudgeConfig
from pacos.configs.suite import SuiteConfig
from pacos.files import write_jsonl
from pacos.llm.config import EndpointConfig
from pacos.llm.http import client
from pacos.run.open import open_run
from tests.eval.geval.judge_server import JudgeServer


@pytest.fixture(autouse=True)
def _quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as running:
        yield running


@pytest.fixture
def geval(config: EvalConfig, rubrics: Path) -> EvalConfig:
    """The rubric's prompts for a tiny model; no judge yet."""
    suite = SuiteConfig(name="geval", folder=str(rubrics), rubrics=["short"], chat_template=True)
    return replace(
        config, suite=suite, heldout=None, limit=None, geval=GEvalConfig(answer_tokens=12)
    )


@pytest.fixture
def answered(geval: EvalConfig, tiny: Path) -> EvalConfig:
    """A run whose answers are there, as a compute node leaves it: nothing loads a model again."""
    config = replace(geval, baseline=str(tiny))
    run = open_run(config)
    for number, label in enumerate(config.models()):
        answers = [
            {
                "rubric": "short",
                "id": f"p{n}",
                "source": f"Say {n} words about rain.",
                "context": "",
            }
            | {"output": "It rains. " * (1 + (3 * n + 2 * number) % 7)}
            for n in range(6)
        ]
        write_jsonl(run.eval / "geval" / label / "answers.jsonl", answers)
    return config


def judged_by(config: EvalConfig, server: JudgeServer, **endpoint: object) -> EvalConfig:
    """The config with a judge at a server."""
    given = {"model": "scripted", "prompt_price": 1.0, "completion_price": 1.0, "retries": 2}
    service = EndpointConfig(url=server.url, **{**given, **endpoint})  # type: ignore[arg-type]
    return replace(config, judge=JudgeConfig(endpoint=service))
