"""Config of a service that answers requests over HTTP, for the generator, the judge and eval."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from pacos.errors import Problem
from pacos.identity import FREE
from pacos.llm.prices import TABLE, Price, listed_price
from pacos.llm.request import Request, Sampling
from pacos.schemas import Message

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
KEY_LIKE = re.compile(r"sk-|[A-Za-z0-9_-]{40,}\Z")
"""A secret in place of a variable's name, recognised by OpenAI's prefix or by its length."""


class Api(Enum):
    """An API of the endpoint. pacos/llm/http/wire.py holds the wire format of each."""

    chat = "chat"
    completions = "completions"

    @property
    def takes_messages(self) -> bool:
        """True if a prompt is a conversation, False if it is a text to continue."""
        return self is not Api.completions


class Mode(Enum):
    """The way to get replies."""

    live = "live"
    batch = "batch"
    replay = "replay"


class StructuredOutput(Enum):
    """Enforcement of the JSON schema of a request by the service."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass(kw_only=True, slots=True)
class EndpointConfig:
    """A service with OpenAI's API, such as OpenAI, Azure, vLLM or llama.cpp."""

    url: str = "???"
    """Base URL, such as https://api.openai.com/v1. For Azure with `api_version`, the part before
    /openai. It is part of every request's key: after a change, all replies are bought again."""
    model: str = "???"
    """Name of the model at the service; with `api_version`, of the deployment."""
    api: Api = Api.chat
    """`chat` answers conversations; `completions` continues texts, which base models need."""
    mode: Mode = field(default=Mode.live, metadata=FREE)
    """`live` sends each request on its own. `batch` uses the Batch API: half the price, replies
    within 24 hours. `replay` answers from the ledger only and fails on a request it lacks."""
    api_key_env: str | None = field(default=None, metadata=FREE)
    """Environment variable that holds the API key. Null sends no key."""
    api_version: str | None = None
    """Version of Azure's API, such as 2024-10-21; selects Azure's paths and its api-key header.
    Null for every other service, and for Azure URLs that end in /openai/v1."""
    structured_output: StructuredOutput = StructuredOutput.auto
    """`auto` sends JSON schemas until the service refuses them; `always` treats a refusal as an
    error; `never` leaves them out."""
    concurrency: int = field(default=64, metadata=FREE)
    """Most requests in flight. Reduced automatically while the service is overloaded. A vLLM server
    handles hundreds."""
    requests_per_minute: float | None = field(default=None, metadata=FREE)
    """Rate limit of the account. Null for no limit, as on your own server."""
    tokens_per_minute: float | None = field(default=None, metadata=FREE)
    """Rate limit of the account, prompts and replies together. Null for no limit."""
    requests_per_second: float | None = field(default=None, metadata=FREE)
    """Rate limit of a service that counts per second. Null for no limit."""
    tokens_per_second: float | None = field(default=None, metadata=FREE)
    """Rate limit of a service that counts per second, prompts and replies together. Null for no
    limit."""
    timeout: float = field(default=300.0, metadata=FREE)
    """Seconds for one try, from sending the request to the last byte of the reply."""
    retries: int = field(default=8, metadata=FREE)
    """Further tries after a failure that may pass. 8 outlast an outage of about two minutes."""
    prompt_price: float | None = field(default=None, metadata=FREE)
    """US dollars per million prompt tokens. Null looks the model up in conf/prices.yaml; 0 for your
    own server. A price given here is final: no batch discount applies."""
    completion_price: float | None = field(default=None, metadata=FREE)
    """US dollars per million tokens of replies. Null looks the model up in conf/prices.yaml."""
    budget_usd: float | None = field(default=None, metadata=FREE)
    """US dollars that all lives of the run may spend together. Null for no limit."""
    budget_tokens: int | None = field(default=None, metadata=FREE)
    """Tokens, prompts and replies, that all lives of the run may use together. Null for no
    limit."""

    def request(
        self,
        prompt: str | tuple[Message, ...],
        sampling: Sampling,
        schema: Mapping[str, Any] | None = None,
        sample: int = 0,
    ) -> Request:
        """Return a request to this endpoint, without the schema if schemas are never sent."""
        return Request(
            endpoint=self.url.rstrip("/"),
            model=self.model,
            prompt=prompt,
            sampling=sampling,
            schema=None if self.structured_output is StructuredOutput.never else schema,
            sample=sample,
        )

    def price(self) -> Price | None:
        """Return the price from this config or conf/prices.yaml; None if neither has it."""
        if self.prompt_price is not None and self.completion_price is not None:
            return Price(self.prompt_price, self.completion_price)
        return listed_price(self.model, batch=self.mode is Mode.batch)

    def problems(self, at: str = "endpoint") -> list[Problem]:
        """Return all problems, with keys below `at`, the key of this config in its stage."""
        problems = [*self._number_problems(), *self._address_problems(), *self._money_problems()]
        return [
            Problem(f"{at}.{problem.key}", problem.value, problem.fault, problem.remedy)
            for problem in problems
        ]

    def missing_key(self, at: str = "endpoint") -> Problem | None:
        """Return a problem if the API key is needed and not in the environment."""
        name = self.api_key_env
        # `problems` reports a malformed name, without showing it: it may be the key itself.
        if name is None or not _is_variable(name) or self.mode is Mode.replay:
            return None
        if os.environ.get(name, "").strip():
            return None
        what, remedy = "no such environment variable", f"export {name} with the key of {self.url}"
        return Problem(f"{at}.api_key_env", name, what, remedy)

    def _number_problems(self) -> list[Problem]:
        problems = []
        lowest = {"concurrency": 1, "retries": 0, "prompt_price": 0, "completion_price": 0}
        for key, low in lowest.items():
            value = getattr(self, key)
            if value is not None and value < low:
                problems.append(Problem(key, value, f"must be at least {low}", "raise it"))
        rates = [
            f"{unit}_per_{time}" for unit in ("requests", "tokens") for time in ("minute", "second")
        ]
        for key in ("timeout", *rates, "budget_usd", "budget_tokens"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                remedy = "raise it" if key == "timeout" else "raise it, or use null for no limit"
                problems.append(Problem(key, value, "must be more than 0", remedy))
        return problems

    def _address_problems(self) -> list[Problem]:
        problems = []
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            example = "write it as https://api.openai.com/v1 or http://localhost:8000/v1"
            problems.append(Problem("url", self.url, "is not an http(s) address", example))
        elif parts.username is not None or parts.query:
            # A URL is recorded in every request and run: a secret in it would leak.
            remedy = "put it into the environment variable that api_key_env names"
            problem = "must not hold a user name, password or query"
            problems.append(Problem("url", f"…{parts.hostname}…", problem, remedy))
        if self.api_key_env is not None and not _is_variable(self.api_key_env):
            what = "must be the name of an environment variable, not a key"
            remedy = "export the key, for example as OPENAI_API_KEY, and give that name"
            problems.append(Problem("api_key_env", "(not shown)", what, remedy))
        return problems

    def _money_problems(self) -> list[Problem]:
        prices = (self.prompt_price, self.completion_price)
        if prices.count(None) == 1:
            remedy = "give both prompt_price and completion_price, or neither"
            return [Problem("prompt_price", prices[0], "only one of two prices is given", remedy)]
        # An unknown price counts as 0, so a limit in dollars would never be reached.
        if self.budget_usd is not None and self.price() is None:
            what = f"the price of model {self.model} is unknown"
            remedy = (
                f"give prompt_price and completion_price (0 for your own server), add the model "
                f"to {TABLE}, or use budget_tokens"
            )
            return [Problem("budget_usd", self.budget_usd, what, remedy)]
        return []


def _is_variable(name: str) -> bool:
    """Return True if the text can name a variable and does not look like a key."""
    return bool(VARIABLE.match(name)) and not KEY_LIKE.match(name)
