"""A loopback server that speaks OpenAI's API and misbehaves by script.

In a test:   with ScriptedServer([Rule("500", match="poem", times=2)]) as server: … server.url …
By itself:   python -m tests.pacos.llm.scripted_server --port 8000 --rules '[{"what": "slow"}]'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.pacos.llm.batch.scripted_batches import Batches

ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "400": (400, {"message": "something is odd", "param": None, "code": None}),
    "401": (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}),
    "403": (403, {"message": "no access to the model", "code": "forbidden"}),
    "404": (404, {"message": "The model does not exist", "code": "model_not_found"}),
    "429": (429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"}),
    "500": (500, {"message": "internal error"}),
    "503": (503, {"message": "overloaded"}),
    "quota": (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    "filter": (400, {"message": "the prompt was filtered", "code": "content_filter"}),
    "context": (
        400,
        {"message": "This model's maximum context length is 8 tokens", "param": "max_tokens"},
    ),
    "temperature": (400, {"message": "temperature is out of range", "param": "temperature"}),
    "no_logprobs": (400, {"message": "'logprobs' is not supported", "param": "logprobs"}),
    "no_logprobs_403": (403, {"message": "You are not allowed to request logprobs"}),
    "no_logprobs_500": (500, {"message": "logprobs is not supported with logits_all=False"}),
    "five_logprobs": (400, {"message": "must be at most 5", "param": "top_logprobs"}),
    "no_json_schema": (500, {"message": "'loc': ('body', 'response_format', 'type')"}),
}
"""Answers by name: status and error object."""

UNKNOWN_FIELD = {
    "no_max_tokens": ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported"),
    "no_top_p": ("top_p", "Unsupported parameter: 'top_p' is not supported with this model"),
    "no_schemas": ("response_format", "response_format json_schema is not supported"),
}
"""Rules for services that refuse one field, wherever it is sent."""

UNKNOWN_FORM = {"no_json_schema": "json_schema"}
"""Rules for services that refuse one type of response_format as llama-cpp-python does."""

MOST_LOGPROBS = {name: 0 for name in ERRORS if name.startswith("no_logprobs")} | {
    "five_logprobs": 5
}
"""Alternatives a token above which a request is refused, by rule."""


@dataclass
class Rule:
    """What happens to requests whose prompt holds `match`, to the first `times` of them."""

    what: str
    """A name of ERRORS, UNKNOWN_FIELD or UNKNOWN_FORM, or: hang, cut, malformed, slow,
    error_in_200, redirect."""
    match: str = ""
    times: int | None = None
    seconds: float | None = None
    """Retry-After of an error, or the delay of `slow`."""
    headers: dict[str, str] | None = None


class ScriptedServer:
    """Serves from a thread of its own; `seen` counts the requests for each prompt."""

    def __init__(self, rules: Sequence[Rule] = (), port: int = 0, **batches: Any) -> None:
        self.rules = list(rules)
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.paths: set[str] = set()
        self.at_once = 0
        self.most_at_once = 0
        self.times: list[float] = []
        self.usage: dict[str, int] | None = {"prompt_tokens": 7, "completion_tokens": 5}
        self.batches = Batches(self._batch_line, **batches)
        self._port = port
        self._started = threading.Event()

    def __enter__(self) -> ScriptedServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(30)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def _main(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = runner.addresses[0][1]
        self._started.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.endswith("/completions"):
            return await self._complete(request)
        if path == "/seen":
            return web.json_response(self.seen)
        return await self.batches.handle(request)

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        sent = json.loads(await request.read())
        prompt = sent["prompt"] if "prompt" in sent else sent["messages"][-1]["content"]
        self.seen[prompt] += 1
        self.times.append(time.monotonic())
        self.bodies.append(sent)
        self.headers = dict(request.headers)
        self.paths.add(request.path_qs)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            rule = self._rule(prompt, sent)
            return await self._answer(request, sent, prompt, rule)
        finally:
            self.at_once -= 1

    def _rule(self, prompt: str, sent: dict[str, Any]) -> Rule | None:
        for rule in self.rules:
            field = UNKNOWN_FIELD.get(rule.what)
            asked = sent.get("top_logprobs", sent.get("logprobs", 0))
            if asked <= MOST_LOGPROBS.get(rule.what, -1):
                continue
            form = sent.get("response_format", {}).get("type")
            if form != UNKNOWN_FORM.get(rule.what, form):
                continue
            if rule.match in prompt and rule.times != 0 and (not field or field[0] in sent):
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    async def _answer(
        self, request: web.BaseRequest, sent: dict[str, Any], prompt: str, rule: Rule | None
    ) -> web.StreamResponse:
        if rule is not None and rule.what == "slow":
            await asyncio.sleep(rule.seconds or 0.0)
        elif rule is not None:
            return await self._misbehave(request, rule)
        self.answered[prompt] += 1
        return web.json_response(self.reply(sent, prompt))

    async def _misbehave(self, request: web.BaseRequest, rule: Rule) -> web.StreamResponse:
        if rule.what == "hang":
            await asyncio.sleep(3600)
        if rule.what == "cut":
            assert request.transport is not None
            request.transport.abort()
        if rule.what == "malformed":
            return web.Response(body=b'{"choices": [{"mess', content_type="application/json")
        if rule.what == "error_in_200":
            return web.json_response({"error": {"code": 502, "message": "upstream broke"}})
        if rule.what == "redirect":
            return web.Response(status=301, headers={"Location": "https://elsewhere/"})
        status, error = self.error(rule)
        headers = dict(rule.headers or {})
        if rule.seconds is not None:
            headers["Retry-After"] = f"{rule.seconds:g}"
        return web.json_response({"error": error}, status=status, headers=headers)

    @staticmethod
    def error(rule: Rule) -> tuple[int, dict[str, Any]]:
        """Status and error object of a rule."""
        if rule.what in UNKNOWN_FIELD:
            field, message = UNKNOWN_FIELD[rule.what]
            error = {"message": message, "param": field, "code": "unsupported_parameter"}
            return 400, error
        return ERRORS.get(rule.what, ERRORS["500"])

    def reply(self, sent: dict[str, Any], prompt: str) -> dict[str, Any]:
        """A completion object that repeats the prompt."""
        text = f"reply to {prompt}"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if "prompt" in sent:
            choice["text"] = text
            if "logprobs" in sent:
                choice["logprobs"] = {"top_logprobs": [{"a": -0.5, "b": -1.0}]}
        else:
            choice["message"] = {"role": "assistant", "content": text}
            if sent.get("logprobs"):
                likeliest = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.0}]
                token = {"token": "a", "logprob": -0.5, "top_logprobs": likeliest}
                choice["logprobs"] = {"content": [token]}
        reply = {"id": "1", "object": "completion", "choices": [choice], "model": sent["model"]}
        return reply if self.usage is None else {**reply, "usage": self.usage}

    def _batch_line(self, sent: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Status and body of one line of a batch; None for one that expires."""
        prompt = sent["prompt"] if "prompt" in sent else sent["messages"][-1]["content"]
        self.seen[prompt] += 1
        rule = self._rule(prompt, sent)
        if rule is None:
            self.answered[prompt] += 1
            return 200, self.reply(sent, prompt)
        if rule.what == "expire":
            return None
        status, error = self.error(rule)
        return status, {"error": error}


def main() -> None:
    """Serve until killed; prints the base URL first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rules", default="[]", help="JSON list of rules")
    options = parser.parse_args()
    rules = [Rule(**rule) for rule in json.loads(options.rules)]
    with ScriptedServer(rules, options.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
