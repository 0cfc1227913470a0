from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pacos.llm.config import Api
from pacos.llm.http.dialect import Dialect, SchemaStyle
from pacos.llm.http.transport import WIRE_FORMATS
from pacos.llm.http.wire import CHAT, COMPLETIONS, MalformedReplyError
from pacos.llm.request import Request, Sampling

MESSAGES = Request(
    endpoint="http://host/v1",
    model="m",
    prompt=({"role": "user", "content": "hello"},),
    sampling=Sampling(max_tokens=10),
)
TEXT = replace(MESSAGES, prompt="once upon a time")


def completion(**choice: Any) -> dict[str, Any]:
    message = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return {
        "choices": [{**message, **choice}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }


def test_a_conversation() -> None:
    assert CHAT.body(MESSAGES, Dialect()) == {
        "model": "m",
        "messages": ({"role": "user", "content": "hello"},),
        "max_tokens": 10,
        "temperature": 1.0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def test_a_text_with_everything() -> None:
    sampling = Sampling(
        max_tokens=5,
        temperature=0.7,
        stop=("\n\n",),
        seed=3,
        logit_bias=((50256, -100.0),),
        top_logprobs=2,
    )
    sent = json.loads(json.dumps(COMPLETIONS.body(replace(TEXT, sampling=sampling), Dialect())))
    assert sent["prompt"] == "once upon a time"
    assert sent["stop"] == ["\n\n"]
    assert sent["logit_bias"] == {"50256": -100.0}
    assert (sent["seed"], sent["logprobs"], sent["temperature"]) == (3, 2, 0.7)


def test_a_schema_and_logprobs_of_a_conversation() -> None:
    request = replace(
        MESSAGES, schema={"type": "object"}, sampling=Sampling(max_tokens=1, top_logprobs=5)
    )
    sent = CHAT.body(request, Dialect())
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 5)


def test_a_schema_as_llama_cpp_python_reads_it() -> None:
    sent = CHAT.body(
        replace(MESSAGES, schema={"type": "object"}), Dialect(schemas=SchemaStyle.json_object)
    )
    assert sent["response_format"] == {"type": "json_object", "schema": {"type": "object"}}


def test_dialects() -> None:
    dialect = Dialect(
        "max_completion_tokens", schemas=SchemaStyle.never, omitted=frozenset({"top_p"})
    )
    sent = CHAT.body(replace(MESSAGES, schema={"type": "object"}), dialect)
    assert sent["max_completion_tokens"] == 10
    assert not {"max_tokens", "top_p", "response_format"} & set(sent)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("eos", "stop")],
)
def test_why_it_ended(reason: str, finish: str) -> None:
    reply = CHAT.read(completion(finish_reason=reason), MESSAGES)
    assert (reply.text, reply.finish, reply.error) == ("hi", finish, None)
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 1)


def test_usage_is_estimated_where_it_is_absent() -> None:
    reply = COMPLETIONS.read({"choices": [{"text": "abcdef", "finish_reason": "stop"}]}, TEXT)
    assert (reply.prompt_tokens, reply.completion_tokens) == (6, 2)


def test_a_refusal_is_no_answer() -> None:
    reply = CHAT.read(completion(message={"content": None, "refusal": "I will not"}), MESSAGES)
    assert (reply.text, reply.finish, reply.error) == ("", "content_filter", "I will not")


def test_a_reply_that_ends_inside_an_emoji_can_be_written() -> None:
    reply = CHAT.read(completion(message={"content": "한 \ud83d"}), MESSAGES)
    assert reply.text == "한 \ufffd"


def test_logprobs() -> None:
    top = [{"token": "5", "logprob": -0.1}, {"token": "4", "logprob": -2.5}]
    twice = [{"token": "a", "logprob": -0.1}, {"token": "a", "logprob": -9.0}]
    content = [
        {"token": "5", "logprob": -0.1, "top_logprobs": top},
        {"token": "a", "logprob": -0.1, "top_logprobs": twice},
        {"token": "b", "logprob": -0.3, "top_logprobs": []},
    ]
    reply = CHAT.read(completion(logprobs={"content": content}), MESSAGES)
    assert reply.logprobs == ({"5": -0.1, "4": -2.5}, {"a": -0.1}, {"b": -0.3})
    old = {"tokens": ["x"], "token_logprobs": [-1.0], "top_logprobs": [{"x": -1.0, "y": -2.0}]}
    reply = COMPLETIONS.read({"choices": [{"text": "x", "logprobs": old}]}, TEXT)
    assert reply.logprobs == ({"x": -1.0, "y": -2.0},)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"text": "x", "finish_reason": "abort"}]},
        {"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "token_logprobs": []}}]},
    ],
)
def test_what_is_no_reply(document: Any) -> None:
    with pytest.raises(MalformedReplyError):
        COMPLETIONS.read(document, TEXT)
    with pytest.raises(MalformedReplyError):
        CHAT.read(document, MESSAGES)


def test_every_api_has_a_wire_format() -> None:
    assert set(WIRE_FORMATS) == set(Api)
