"""A model behind a service: the harness's scores and answers, without its weights or tokenizer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from eval.config import ENDPOINT, EvalConfig
from eval.engine.loading import build_lm
from eval.harness.endpoint import EndpointLM
from eval.harness.results import read_suite
from eval.run import main
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError
from pacos.files import read_json
from pacos.llm.config import Api, EndpointConfig
from pacos.llm.http import client
from pacos.run.open import open_run
from pacos.run.stop import StopRequest
from tests.eval.text_server import TextServer
from tests.pacos.llm.scripted_server import Rule

pytestmark = pytest.mark.usefixtures("own_process")


@pytest.fixture(scope="module")
def harness(tiny: Path) -> HFLM:
    lm = build_lm(str(tiny), EvalConfig(target=str(tiny)))
    return HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)


@pytest.fixture
def server(harness: HFLM, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextServer]:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    with TextServer(harness.model, harness.tokenizer) as running:
        yield running


@pytest.fixture
def asked(config: EvalConfig, server: TextServer) -> EvalConfig:
    service = EndpointConfig(url=server.url, model="tiny", api=Api.completions, retries=1)
    return replace(
        config, limit=2, target=ENDPOINT, endpoint=service, heldout=None, prompt_format=None
    )


def lm_of(config: EvalConfig, folder: Path) -> EndpointLM:
    assert config.endpoint is not None
    return EndpointLM(config.endpoint, config.seed, folder, StopRequest(folder / "STOP"))


def request(*arguments: Any, kind: str = "loglikelihood") -> Instance:
    return Instance(kind, {}, arguments, 0, ("task", 0, 1))


CHOICES = [
    request("The sky is", " blue"),
    request("The sky is", " green and wide"),
    request("하늘은 ", "파랗다"),
    request("하늘은", " 넓고 푸르다"),
    request("Spaces at the end move:  ", "here"),
]


def test_scores_are_those_of_the_model(asked: EvalConfig, harness: HFLM, tmp_path: Path) -> None:
    expected = harness.loglikelihood(CHOICES, disable_tqdm=True)
    got = lm_of(asked, tmp_path).loglikelihood(CHOICES)
    assert [score for score, _ in got] == pytest.approx([score for score, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in got] == [greedy for _, greedy in expected]


def test_a_whole_text_is_scored_but_for_its_first_token(
    asked: EvalConfig, harness: HFLM, tmp_path: Path
) -> None:
    first, *rest = harness.tok_encode("Rain on the roof.")
    ((expected, _),) = harness._loglikelihood_tokens([(None, [first], rest)], disable_tqdm=True)
    (got,) = lm_of(asked, tmp_path).loglikelihood_rolling([request("Rain on the roof.")])
    assert got == pytest.approx(expected, abs=1e-4)


def test_a_run_is_bought_once(asked: EvalConfig, server: TextServer, tiny: Path) -> None:
    """The results of the model itself, and in a second life no request."""
    run = open_run(asked)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    own = open_run(
        replace(asked, target=str(tiny), endpoint=None, run=replace(asked.run, name="own"))
    )
    assert main(["--config", str(own.config)]) == EXIT_DONE
    assert read_json(run.result)["target"] == pytest.approx(read_json(own.result)["target"])
    found, expected = (read_suite(one.eval / "smoke" / "target") for one in (run, own))
    for task, lines in expected.samples.items():
        assert [one["prompt_hash"] for one in found.samples[task]] == [
            one["prompt_hash"] for one in lines
        ]
    assert found.results["config"]["model_args"] == {"model": "tiny", "base_url": server.url}

    bought = len(server.bodies)
    for file in (run.eval / "smoke" / "target").iterdir():
        file.unlink()
    (run.eval / "smoke" / "target").rmdir()
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert len(server.bodies) - bought == 2, "the two of the probe, which asks the service itself"


def test_conversations_are_sent_as_such(
    asked: EvalConfig, server: TextServer, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = SuiteConfig(name="smoke", tasks=["smoke_generation_ko"], chat_template=True)
    assert asked.endpoint is not None
    chat = replace(asked, suite=suite, endpoint=replace(asked.endpoint, api=Api.chat))
    run = open_run(chat)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert all(body["messages"][-1]["role"] == "user" for body in server.bodies)
    assert not any(body["messages"][-1]["content"].startswith("[{") for body in server.bodies)

    scored = replace(chat, suite=asked.suite, run=replace(asked.run, name="scored"))
    assert main(["--config", str(open_run(scored).config)]) == EXIT_USER_ERROR
    assert "endpoint.api = chat: it does not score given texts" in capsys.readouterr().err


def test_a_refused_prompt_has_no_answer_and_is_told(
    asked: EvalConfig, server: TextServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.rules = [Rule("context", match="too long")]
    lm = lm_of(asked, tmp_path)
    prompts = ["Say it.", "This is too long."]
    wanted = [request(text, {"until": ["\n"], "max_gen_toks": 4}) for text in prompts]
    assert lm.generate_until(wanted)[1] == ""
    assert "1 of 2 prompts were refused" in caplog.text
    with pytest.raises(UserError, match=r"maximum context length .* fewer examples"):
        lm.loglikelihood([request("This is too long.", " Yes")])


@pytest.mark.parametrize("fault", ["none", "refused", "shifted"])
def test_a_service_without_usable_logprobs_is_told_before_anything_is_asked(
    asked: EvalConfig, server: TextServer, tmp_path: Path, fault: str
) -> None:
    server.gives_logprobs = fault != "none"
    server.shift = int(fault == "shifted")
    if fault == "refused":
        server.rules = [Rule("no_logprobs_500")]
    said = "are not those of its tokens" if server.shift else "gives no log-probabilities"
    with pytest.raises(UserError, match=said):
        lm_of(asked, tmp_path).loglikelihood(CHOICES)
    assert not any("sky" in prompt for prompt in server.seen)


def test_what_an_endpoint_cannot_do_is_told_at_once(asked: EvalConfig) -> None:
    assert asked.endpoint is not None
    odd = replace(asked, endpoint=replace(asked.endpoint, url="localhost"), heldout="rows.jsonl")
    odd = replace(odd, suite=replace(odd.suite, chat_template=True))
    keys = {problem.key for problem in odd.problems()}
    assert {"endpoint.url", "endpoint.api", "heldout"} <= keys
    assert "target" in {problem.key for problem in replace(asked, endpoint=None).problems()}
    assert "endpoint" in {problem.key for problem in replace(asked, target="x/y").problems()}
