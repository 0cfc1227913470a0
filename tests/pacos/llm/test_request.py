from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pacos.llm.request import Request, Sampling, estimated_tokens

BASE = Request(
    endpoint="http://host/v1",
    model="m",
    prompt=({"role": "user", "content": "안녕"},),
    sampling=Sampling(max_tokens=10),
)


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "http://other/v1"},
        {"model": "n"},
        {"prompt": "안녕"},
        {"prompt": ({"role": "system", "content": "안녕"},)},
        {"schema": {"type": "object"}},
        {"sample": 1},
        *(
            {"sampling": replace(BASE.sampling, **{name: value})}
            for name, value in {
                "max_tokens": 11,
                "temperature": 0.5,
                "top_p": 0.5,
                "presence_penalty": 2.0,
                "frequency_penalty": 1.0,
                "stop": ("\n",),
                "seed": 1,
                "logit_bias": ((50256, -100.0),),
                "top_logprobs": 5,
                "echo": True,
            }.items()
        ),
    ],
)
def test_everything_that_is_sent_is_in_the_key(change: dict[str, Any]) -> None:
    assert replace(BASE, **change).key != BASE.key
    assert replace(BASE).key == BASE.key


def test_keys_of_replies_that_were_bought_stay() -> None:
    """A field that is added to requests must not change those that do without it."""
    assert BASE.key == "788f668cbffea94c151cad112a72a47b2a6a08fe134ceca11121cb6ebe621867"


def test_a_key_survives_half_an_emoji() -> None:
    assert len(replace(BASE, prompt="\ud83d").key) == 64


def test_tokens_are_estimated_from_bytes() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("abcdef") == 2
    assert estimated_tokens("abcdefg") == 3
    assert estimated_tokens("한국어") == 3
    assert BASE.estimated_prompt_tokens() == 8 + 2
