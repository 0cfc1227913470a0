from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pacos.identity import FREE
from pacos.llm.config import EndpointConfig, Mode, StructuredOutput
from pacos.llm.prices import Price
from pacos.llm.request import Sampling
from tests.conftest import ROOT

OPTIONS = sorted(path.stem for path in (ROOT / "conf" / "endpoint").glob("*.yaml"))


def endpoint(**options: Any) -> EndpointConfig:
    return EndpointConfig(**{"url": "http://localhost:8000/v1", "model": "m", **options})


@pytest.mark.parametrize("option", OPTIONS)
def test_every_shipped_endpoint_has_no_problems(option: str) -> None:
    ConfigStore.instance().store(name="schema", node=EndpointConfig, group="endpoint")
    given = ["+endpoint.model=m", "+endpoint.url=https://x.openai.azure.com"]
    with initialize_config_module("conf", version_base="1.3"):
        composed = compose(overrides=[f"+endpoint={option}"])
        wanted = [
            word for word in given if word.split("=")[0][1:] in OmegaConf.missing_keys(composed)
        ]
        composed = compose(overrides=[f"+endpoint={option}", *(word[1:] for word in wanted)])
    config = OmegaConf.to_object(composed.endpoint)
    assert isinstance(config, EndpointConfig)
    assert config.problems() == []


def test_config_and_prices_are_light() -> None:
    heavy = ["torch", "aiohttp", "transformers", "hydra"]
    code = f"import sys, pacos.llm.config; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "localhost:8000/v1"),
        ("url", "https://me:hunter2@host/v1"),
        ("url", "https://host/v1?key=hunter2"),
        ("api_key_env", "sk-abc"),
        ("api_key_env", "not a name"),
        ("api_key_env", "A" * 40),
        ("concurrency", 0),
        ("requests_per_minute", 0),
        ("tokens_per_minute", -1),
        ("requests_per_second", 0),
        ("tokens_per_second", 0),
        ("timeout", 0),
        ("retries", -1),
        ("prompt_price", 1.0),
        ("budget_usd", 0),
        ("budget_tokens", 0),
    ],
)
def test_bad_values_are_named(key: str, value: Any) -> None:
    problems = endpoint(**{"model": "gpt-4o-mini", key: value}).problems("judge.endpoint")
    assert [problem.key for problem in problems] == [f"judge.endpoint.{key}"]
    assert not re.search("hunter2|sk-", str(problems[0]))


@pytest.mark.parametrize("key", ["sk-hunter2", "hunter2 3", "h" * 40])
def test_a_key_in_place_of_its_variable_is_not_shown(key: str) -> None:
    mistaken = endpoint(api_key_env=key)
    (problem,) = mistaken.problems()
    assert key not in str(problem)
    assert mistaken.missing_key() is None, "said once, and without it"
    missing = endpoint(api_key_env="NO_SUCH_VARIABLE").missing_key()
    assert missing is not None
    assert "NO_SUCH_VARIABLE" in missing.remedy


def test_negative_prices_are_named() -> None:
    problems = endpoint(prompt_price=-1, completion_price=1).problems()
    assert [problem.key for problem in problems] == ["endpoint.prompt_price"]


def test_a_budget_needs_a_price() -> None:
    (problem,) = endpoint(budget_usd=1.0).problems()
    assert problem.key == "endpoint.budget_usd"
    assert "prompt_price" in problem.remedy
    assert "conf/prices.yaml" in problem.remedy
    free = {"prompt_price": 0.0, "completion_price": 0.0}
    assert endpoint(budget_usd=1.0, **free).problems() == []
    assert endpoint(budget_tokens=1000).problems() == []


def test_prices() -> None:
    assert endpoint().price() is None
    mini = endpoint(model="gpt-4o-mini").price()
    assert mini == Price(0.15, 0.60)
    assert endpoint(model="gpt-4o-mini-2024-07-18").price() == mini
    assert endpoint(model="gpt-4o-mini-of-mine").price() is None
    assert endpoint(model="gpt-4o-mini", mode=Mode.batch).price() == Price(0.075, 0.30)
    given = {"prompt_price": 1.0, "completion_price": 2.0}
    assert endpoint(model="gpt-4o-mini", mode=Mode.batch, **given).price() == Price(1.0, 2.0)
    assert Price(2.5, 10.0).usd(1_000_000, 100_000) == pytest.approx(3.5)


def test_every_field_is_either_free_or_part_of_the_request() -> None:
    fixed = {"url", "model", "api", "api_version", "structured_output"}
    not_free = {field.name for field in fields(EndpointConfig) if field.metadata != FREE}
    assert not_free == fixed


def test_requests_are_the_same_whatever_the_way_of_asking() -> None:
    def key(**options: Any) -> str:
        return endpoint(**options).request("x", Sampling(max_tokens=5), {"type": "object"}).key

    assert key() == key(concurrency=1, mode=Mode.batch, url="http://localhost:8000/v1/")
    never = key(structured_output=StructuredOutput.never)
    assert never == endpoint().request("x", Sampling(max_tokens=5)).key
    assert len({key(), key(model="other"), key(url="http://other/v1"), never}) == 4
