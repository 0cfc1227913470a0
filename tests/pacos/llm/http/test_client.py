"""The client against a server that misbehaves by script."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import formatdate

import pytest

from pacos.errors import UserError
from pacos.llm.config import Api, EndpointConfig, StructuredOutput
from pacos.llm.http.client import HttpClient, pause_s
from pacos.llm.http.failures import EndpointDown
from pacos.llm.request import Reply, Request, Sampling
from tests.pacos.llm.asking import ask_all, chat, endpoint, replies
from tests.pacos.llm.scripted_server import Rule, ScriptedServer


def texts(found: list[Reply | BaseException]) -> list[str]:
    return [reply.text if isinstance(reply, Reply) else repr(reply) for reply in found]


def one(config: EndpointConfig, text: str = "hello") -> Reply | BaseException:
    (found,) = replies(config, text)
    return found


def test_a_conversation_and_a_text() -> None:
    with ScriptedServer() as server:
        found = one(endpoint(server.url))
        assert found == Reply(
            text="reply to hello", finish="stop", prompt_tokens=7, completion_tokens=5
        )
        config = endpoint(server.url, api=Api.completions)
        request = config.request("hello", Sampling(max_tokens=5, top_logprobs=2))
        (found,) = asyncio.run(ask_all(config, [request]))
        assert isinstance(found, Reply)
        assert found.logprobs == ({"a": -0.5, "b": -1.0},)
        assert server.paths == {"/v1/chat/completions", "/v1/completions"}


def test_usage_is_estimated_where_the_server_sends_none() -> None:
    with ScriptedServer() as server:
        server.usage = None
        found = one(endpoint(server.url))
    assert isinstance(found, Reply)
    assert (found.prompt_tokens, found.completion_tokens) == (10, 5)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENERATOR_KEY", "hunter2")
    with ScriptedServer() as server:
        one(endpoint(server.url, api_key_env="GENERATOR_KEY"))
        assert server.headers["Authorization"] == "Bearer hunter2"
        azure = endpoint(
            server.url.removesuffix("/v1"), api_key_env="GENERATOR_KEY", api_version="2024-10-21"
        )
        one(azure)
        assert server.headers["api-key"] == "hunter2"
        path = "/openai/deployments/scripted/chat/completions?api-version=2024-10-21"
        assert path in server.paths
    monkeypatch.delenv("GENERATOR_KEY")
    with pytest.raises(UserError, match="GENERATOR_KEY: the environment variable is not set"):
        HttpClient(azure)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("500", times=1),
        Rule("503", times=2),
        Rule("cut", times=2),
        Rule("malformed", times=1),
        Rule("error_in_200", times=2),
        Rule("429", times=2, seconds=0.01),
        Rule("429", times=1),
    ],
    ids=lambda rule: rule.what,
)
def test_a_failure_that_passes_is_tried_again(rule: Rule) -> None:
    times = rule.times or 0
    with ScriptedServer([rule]) as server:
        assert texts(replies(endpoint(server.url), "hello")) == ["reply to hello"]
        assert server.seen == {"hello": times + 1}


def test_a_reply_that_does_not_come_in_time_is_tried_again() -> None:
    with ScriptedServer([Rule("hang", times=1)]) as server:
        found = replies(endpoint(server.url, timeout=0.3), "hello")
        assert texts(found) == ["reply to hello"]


@pytest.mark.parametrize("what", ["401", "403", "404", "quota", "temperature", "redirect"])
def test_what_every_request_would_get_ends_at_once(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENERATOR_KEY", "hunter2")
    with ScriptedServer([Rule(what)]) as server:
        config = endpoint(server.url, concurrency=1, api_key_env="GENERATOR_KEY")
        found = replies(config, *(f"question {number}" for number in range(20)))
        assert sum(server.seen.values()) == 1
    for error in found:
        assert type(error) is UserError
        assert server.url in str(error)
        assert "scripted" in str(error)
        assert "hunter2" not in str(error)
    remedies = {"401": "GENERATOR_KEY", "403": "GENERATOR_KEY", "404": "endpoint.model"}
    remedies |= {"quota": "credit", "temperature": "correct", "redirect": "endpoint.url"}
    assert remedies[what] in str(found[0])


@pytest.mark.parametrize("what", ["filter", "context"])
def test_a_request_that_is_itself_refused_is_not_asked_again(what: str) -> None:
    with ScriptedServer([Rule(what, match="bad")]) as server:
        bad, good = replies(endpoint(server.url), "bad", "good")
        assert server.seen == {"bad": 1, "good": 1}
    assert isinstance(bad, Reply)
    assert isinstance(good, Reply)
    assert (bad.finish, bad.text, bad.prompt_tokens) == ("error", "", 0)
    assert "400" in (bad.error or "")


def test_an_unclear_400_is_the_request_s_fault_if_others_are_answered() -> None:
    with ScriptedServer([Rule("400", match="bad")]) as server:
        (bad,) = replies(endpoint(server.url), "bad")
    assert isinstance(bad, Reply)
    assert (bad.finish, bad.error) == ("error", "400: something is odd")
    with ScriptedServer([Rule("400")]) as server:
        (error,) = replies(endpoint(server.url), "bad")
        assert sum(server.seen.values()) == 2
    assert type(error) is UserError
    assert "something is odd" in str(error)


def test_one_request_that_always_fails_is_told_and_the_rest_goes_on() -> None:
    with ScriptedServer([Rule("500", match="bad"), Rule("slow", seconds=0.02)]) as server:
        config = endpoint(server.url, concurrency=2)
        found = replies(config, "bad", *(f"question {number}" for number in range(20)))
        assert server.seen["bad"] == 4
        assert all(server.seen[f"question {number}"] == 1 for number in range(20))
    bad, *others = found
    assert isinstance(bad, Reply)
    assert bad.finish == "error"
    assert bad.error == "4 tries: 500: internal error"
    assert texts(others) == [f"reply to question {number}" for number in range(20)]


def test_one_request_that_always_fails_does_not_stop_a_run_when_it_is_the_last() -> None:
    with ScriptedServer([Rule("500", match="bad")]) as server:
        (bad,) = replies(endpoint(server.url), "bad")
    assert isinstance(bad, Reply)
    assert bad.finish == "error"


@pytest.mark.parametrize("what", ["500", "503", "cut", "malformed", "429"])
def test_a_service_that_answers_nothing_is_down(what: str) -> None:
    with ScriptedServer([Rule(what)]) as server:
        found = replies(endpoint(server.url), *(f"question {number}" for number in range(5)))
    for error in found:
        assert isinstance(error, EndpointDown)
        assert server.url in str(error)
        assert "the same command goes on" in str(error)


def test_a_service_that_is_back_at_the_last_moment() -> None:
    with ScriptedServer([Rule("503", times=3)]) as server:
        assert texts(replies(endpoint(server.url), "hello")) == ["reply to hello"]
        assert server.seen == {"hello": 4, "Hi": 1}


def test_a_request_under_way_when_the_service_dies_is_not_blamed() -> None:
    async def run(server: ScriptedServer) -> list[Reply | BaseException]:
        config = endpoint(server.url, timeout=0.3, retries=1)
        async with HttpClient(config) as client:
            first = asyncio.create_task(client.ask(chat(config, "first")))
            second = await client.ask(chat(config, "second"))
            server.rules.append(Rule("hang"))
            return [second, *await asyncio.gather(first, return_exceptions=True)]

    with ScriptedServer([Rule("hang", match="first")]) as server:
        second, first = asyncio.run(run(server))
    assert isinstance(second, Reply)
    assert isinstance(first, EndpointDown)


def test_a_service_that_is_not_there_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        error = one(endpoint(url, retries=1))
    assert isinstance(error, EndpointDown)
    assert "2 tries" in str(error)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_that_the_service_asks_for_is_kept_by_all(form: str) -> None:
    date = int(time.time()) + 2
    until = time.monotonic() + date - time.time()
    headers = {
        "seconds": {"Retry-After": "0.4"},
        "date": {"Retry-After": formatdate(date, usegmt=True)},
    }[form]
    with ScriptedServer([Rule("429", times=1, headers=headers)]) as server:
        config = endpoint(server.url, concurrency=1)
        found = replies(config, *(f"question {number}" for number in range(4)))
        refused_at, *later = server.times
    assert texts(found) == [f"reply to question {number}" for number in range(4)]
    assert len(later) == 4
    assert min(later) >= (until if form == "date" else refused_at + 0.4) - 0.01


def test_no_more_requests_at_once_than_allowed_and_fewer_after_a_429() -> None:
    with ScriptedServer([Rule("slow", seconds=0.02)]) as server:
        replies(endpoint(server.url, concurrency=5), *(str(number) for number in range(40)))
        assert server.most_at_once == 5
    with ScriptedServer([Rule("429", times=1), Rule("slow", seconds=0.05)]) as server:

        async def narrowed() -> None:
            config = endpoint(server.url, concurrency=16)
            async with HttpClient(config) as client:
                await client.ask(chat(config, "alone"))
                server.most_at_once = 0
                await asyncio.gather(*[client.ask(chat(config, str(n))) for n in range(16)])

        asyncio.run(narrowed())
        assert 8 <= server.most_at_once < 16


@pytest.mark.parametrize(
    "limit",
    [
        {"requests_per_second": 40.0},
        {"requests_per_minute": 2400.0},
        # 10 estimated tokens of the prompt and 100 of the reply, of which 12 are used.
        {"tokens_per_second": 480.0},
        {"tokens_per_minute": 28800.0},
    ],
    ids=lambda limit: next(iter(limit)),
)
def test_rate_limits(limit: dict[str, float]) -> None:
    with ScriptedServer() as server:
        config = endpoint(server.url, concurrency=1, **limit)
        replies(config, *(f"hello {number}" for number in range(20)))
        taken = server.times[-1] - server.times[0]
    assert taken >= 0.8 * 19 / 40
    # Had unused tokens not been given back, 19 · 110 of them at 480 a second would take 4.4 s.
    assert taken < 4


def test_dialects_are_learnt_once() -> None:
    rules = [Rule("no_max_tokens"), Rule("no_top_p"), Rule("no_schemas")]
    with ScriptedServer(rules) as server:
        config = endpoint(server.url, api=Api.completions, concurrency=1)
        requests = [
            config.request(f"question {n}", Sampling(max_tokens=9), {"type": "object"})
            for n in range(5)
        ]
        found = asyncio.run(ask_all(config, requests))
        assert texts(found) == [f"reply to question {n}" for n in range(5)]
        # Two forms of schemas are refused.
        assert len(server.bodies) == 4 + 5
        assert server.bodies[-1]["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    ("what", "request_of", "words"),
    [
        (
            "no_top_p",
            lambda config: config.request("hello", Sampling(max_tokens=9, top_p=0.5)),
            "top_p",
        ),
        (
            "no_schemas",
            lambda config: config.request("hello", Sampling(max_tokens=9), {"type": "object"}),
            "endpoint.structured_output=auto",
        ),
    ],
)
def test_a_field_that_was_asked_for_is_not_dropped(what: str, request_of, words: str) -> None:  # type: ignore[no-untyped-def]
    with ScriptedServer([Rule(what)]) as server:
        always = StructuredOutput.always
        config = endpoint(server.url, api=Api.completions, structured_output=always)
        (error,) = asyncio.run(ask_all(config, [request_of(config)]))
    assert type(error) is UserError
    assert words in str(error)


def test_schemas_reach_the_service() -> None:
    with ScriptedServer() as server:
        config = endpoint(server.url, api=Api.completions)
        request = config.request("hello", Sampling(max_tokens=9), {"type": "object"})
        asyncio.run(ask_all(config, [request]))
        (sent,) = server.bodies
    assert sent["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("wanted", [StructuredOutput.auto, StructuredOutput.always])
def test_schemas_in_the_form_that_the_service_knows(wanted: StructuredOutput) -> None:
    with ScriptedServer([Rule("no_json_schema")]) as server:
        config = endpoint(server.url, api=Api.completions, structured_output=wanted)
        request = config.request("hello", Sampling(max_tokens=9), {"type": "object"})
        (found,) = asyncio.run(ask_all(config, [request]))
        assert isinstance(found, Reply)
        assert [sent["response_format"]["type"] for sent in server.bodies] == [
            "json_schema",
            "json_object",
        ]


def test_a_client_that_is_stopped_takes_the_replies_under_way_and_sends_nothing() -> None:
    async def run(config: EndpointConfig) -> list[Reply | BaseException]:
        async with HttpClient(config) as client:
            asked = [asyncio.create_task(client.ask(chat(config, str(n)))) for n in range(6)]
            await asyncio.sleep(0.2)
            client.stop()
            return await asyncio.gather(*asked, return_exceptions=True)

    with ScriptedServer([Rule("slow", seconds=0.5)]) as server:
        found = asyncio.run(run(endpoint(server.url, concurrency=2)))
        assert sum(server.seen.values()) == 2
    assert [isinstance(reply, Reply) for reply in found] == [True, True] + [False] * 4


def test_pauses_double_and_depend_on_the_request_alone() -> None:
    request = Request(endpoint="x", model="m", prompt="p", sampling=Sampling(max_tokens=1))
    pauses = [pause_s(request.key, number) for number in range(1, 21)]
    assert pauses == [pause_s(request.key, number) for number in range(1, 21)]
    for number, pause in enumerate(pauses):
        middle = min(60.0, 0.01 * 2**number)
        assert 0.5 * middle <= pause <= 1.5 * middle
    assert pauses[0] != pause_s("0" * 64, 1)
