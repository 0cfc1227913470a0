from __future__ import annotations

import math
from pathlib import Path

import pytest

from pacos.configs.compose import compose_checked
from pacos.llm.ledger import Spent
from pacos.llm.prices import Price
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.methods.build import build_method
from selfinstruct.pool.pool import Pool
from selfinstruct.quote import ACCEPTANCE, Quote, estimate, extrapolate
from selfinstruct.seeds.reader import read_seeds

PRICE = Price(1.0, 2.0)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def quote(*more: str, price: Price | None = PRICE) -> Quote:
    settings = ["generator=openai", "target_rows=9600", *more]
    config = compose_checked(SelfInstructConfig, SCHEMAS, settings)
    return estimate(config, Pool(read_seeds(config), config), build_method(config), price)


def test_requests_follow_from_rows_and_yield() -> None:
    assert quote().requests == math.ceil(9600 / (16 * ACCEPTANCE))


def test_further_steps_cost_requests_of_their_own() -> None:
    one, five = quote("method=alpaca"), quote("method=self_instruct")
    assert five.requests == math.ceil(9600 / (8 * ACCEPTANCE)) + 2 * 9600
    assert five.usd is not None
    assert one.usd is not None
    assert five.usd > one.usd


def test_batches_that_wait_for_each_other_are_told() -> None:
    batch = "generator.endpoint.mode=batch"
    assert quote(batch).rounds == math.ceil(1000 / 64)
    assert quote(batch, "method=self_instruct", "window=2000").rounds == 3
    assert "1 batches one after another" in str(quote(batch, "window=1000"))
    assert quote().rounds is None


def test_tokens_of_korean_cost_more() -> None:
    assert quote("lang=ko").tokens > 0


def test_an_unknown_price_is_said() -> None:
    assert "unknown price" in str(quote(price=None))


def test_a_part_tells_of_the_whole(tmp_path: Path) -> None:
    config = compose_checked(
        SelfInstructConfig, SCHEMAS, ["generator=openai", "target_rows=1000", "pilot=100"]
    )
    whole = extrapolate(config, 100, 20, Spent(3000, 2000, 0.5), 360.0)
    assert (whole.rows, whole.requests, whole.tokens) == (1000, 200, 50_000)
    assert whole.usd == pytest.approx(5.0)
    assert whole.hours == pytest.approx(1.0)
    assert "$5.00, 1.0 h" in str(whole)
