"""Config of a service that answers requests over HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pacos.errors import Problem
from pacos.llm.prices import TABLE, Price, listed_price
from pacos.llm.request import Request, Sampling
from pacos.schemas import Message

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
KEY_LIKE = re.compile(r"sk-|[A-Za-z0-9_-]{40,}\Z")
"""A secret where the name of a variable belongs: OpenAI's prefix, or length."""


class Api(Enum):
    """What the endpoint is asked for."""

    chat = "chat"
    completions = "completions"


class Mode(Enum):
    """How replies are come by."""

    live = "live"
    batch = "batch"
    replay = "replay"


class StructuredOutput(Enum):
    """Whether a reply is bound to the JSON schema of its request."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass(kw_only=True, slots=True)
class EndpointConfig:
    """A service that speaks OpenAI's API: OpenAI, Azure, vLLM, llama.cpp."""

    FREE: ClassVar[tuple[str, ...]] = (
        "mode",
        "api_key_env",
        "concurrency",
        "requests_per_minute",
        "tokens_per_minute",
        "requests_per_second",
        "tokens_per_second",
        "timeout",
        "retries",
        "prompt_price",
        "completion_price",
        "budget_usd",
        "budget_tokens",
    )
    """Fields that do not change what is asked, so that they may change between two lives."""

    url: str = "???"
    """Base URL, such as https://api.openai.com/v1; of an Azure resource with `api_version`, the
    part before /openai. It is part of every request's identity: another URL buys all anew."""
    model: str = "???"
    """Model as the service calls it; with `api_version` the name of the deployment."""
    api: Api = Api.chat
    """`chat` answers conversations, `completions` continues texts, as base models do."""
    mode: Mode = Mode.live
    """`live` sends each request by itself, `batch` uses the Batch API (cheaper, within 24 hours),
    `replay` answers from the ledger alone and fails where that has no reply."""
    api_key_env: str | None = None
    """Environment variable that holds the API key; null sends none."""
    api_version: str | None = None
    """Version of Azure's API, such as 2024-10-21: its paths and its api-key header are used. Null
    for every other service, and for Azure URLs that end in /openai/v1."""
    structured_output: StructuredOutput = StructuredOutput.auto
    """`auto` sends JSON schemas until the service refuses them, `always` takes a refusal as an
    error, `never` leaves them out."""
    concurrency: int = 64
    """Requests under way at once. Fewer while the service is overloaded; a vLLM takes hundreds."""
    requests_per_minute: float | None = None
    """Rate limit of the account; null is none, as for a server of your own."""
    tokens_per_minute: float | None = None
    """Rate limit of the account, prompts and replies together; null is none."""
    requests_per_second: float | None = None
    """Rate limit of services that count by the second; null is none."""
    tokens_per_second: float | None = None
    """Rate limit of services that count by the second; null is none."""
    timeout: float = 300.0
    """Seconds that one try may take, from sending to the last byte of the reply."""
    retries: int = 8
    """Further tries after a failure that may pass. 8 outlast an outage of about two minutes."""
    prompt_price: float | None = None
    """US dollars for a million prompt tokens; null looks the model up in conf/prices.yaml. 0 for a
    server of your own. A price given here is final: no batch discount is taken off."""
    completion_price: float | None = None
    """US dollars for a million tokens of replies; null as above."""
    budget_usd: float | None = None
    """US dollars that all lives of the run together may spend; null is no limit."""
    budget_tokens: int | None = None
    """Tokens, of prompts and replies, that all lives together may use; null is no limit."""

    def request(
        self,
        prompt: str | tuple[Message, ...],
        sampling: Sampling,
        schema: Mapping[str, Any] | None = None,
        sample: int = 0,
    ) -> Request:
        """A request to this endpoint; without its schema where schemas are never sent."""
        return Request(
            endpoint=self.url.rstrip("/"),
            model=self.model,
            prompt=prompt,
            sampling=sampling,
            schema=None if self.structured_output is StructuredOutput.never else schema,
            sample=sample,
        )

    def price(self) -> Price | None:
        """The price of tokens, from this config or conf/prices.yaml; None if it is not known."""
        if self.prompt_price is not None and self.completion_price is not None:
            return Price(self.prompt_price, self.completion_price)
        return listed_price(self.model, batch=self.mode is Mode.batch)

    def problems(self, at: str = "endpoint") -> list[Problem]:
        """What is wrong, with keys below `at`, where the stage's config has this one."""
        found = [*self._bad_numbers(), *self._bad_address(), *self._bad_money()]
        return [
            Problem(f"{at}.{problem.key}", problem.value, problem.what, problem.remedy)
            for problem in found
        ]

    def missing_key(self, at: str = "endpoint") -> Problem | None:
        """The API key, if it is needed and the environment has none."""
        name = self.api_key_env
        if name is None or not _is_variable(name) or self.mode is Mode.replay:
            return None
        if os.environ.get(name, "").strip():
            return None
        what, remedy = "no such environment variable", f"export {name} with the key of {self.url}"
        return Problem(f"{at}.api_key_env", name, what, remedy)

    def _bad_numbers(self) -> list[Problem]:
        found = []
        for key, low in {
            "concurrency": 1,
            "retries": 0,
            "prompt_price": 0,
            "completion_price": 0,
        }.items():
            value = getattr(self, key)
            if value is not None and value < low:
                found.append(Problem(key, value, f"must be at least {low}", "raise it"))
        limits = [
            f"{what}_per_{unit}" for what in ("requests", "tokens") for unit in ("minute", "second")
        ]
        for key in ("timeout", *limits, "budget_usd", "budget_tokens"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                remedy = "raise it" if key == "timeout" else "raise it, or use null for no limit"
                found.append(Problem(key, value, "must be more than 0", remedy))
        return found

    def _bad_address(self) -> list[Problem]:
        found = []
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            example = "write it as https://api.openai.com/v1 or http://localhost:8000/v1"
            found.append(Problem("url", self.url, "is no http(s) address", example))
        elif parts.username is not None or parts.query:
            remedy = "give it in the environment variable that api_key_env names"
            found.append(Problem("url", f"…{parts.hostname}…", "must hold no secret", remedy))
        if self.api_key_env is not None and not _is_variable(self.api_key_env):
            what = "must be the name of an environment variable, not a key"
            remedy = "export the key as OPENAI_API_KEY, say, and give that name"
            found.append(Problem("api_key_env", "(not shown)", what, remedy))
        return found

    def _bad_money(self) -> list[Problem]:
        prices = (self.prompt_price, self.completion_price)
        if prices.count(None) == 1:
            remedy = "give prompt_price and completion_price, or neither"
            return [Problem("prompt_price", prices[0], "has no partner", remedy)]
        if self.budget_usd is not None and self.price() is None:
            what = f"the price of model {self.model} is not known"
            remedy = (
                f"give prompt_price and completion_price (0 for a server of your own), add the "
                f"model to {TABLE}, or use budget_tokens"
            )
            return [Problem("budget_usd", self.budget_usd, what, remedy)]
        return []


def _is_variable(name: str) -> bool:
    """Whether it names a variable; a key that was put there instead must not be shown."""
    return bool(VARIABLE.match(name)) and not KEY_LIKE.match(name)
