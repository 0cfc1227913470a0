"""Requests to a language model, its replies, and the protocol of everything that answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pacos.division import ceil_div
from pacos.schemas import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling parameters of one reply, in the terms of the OpenAI API."""

    max_tokens: int
    """Longest reply, in tokens."""
    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    """Texts that end the reply. They are not part of it."""
    seed: int | None = None
    """Makes the sample repeatable if the server supports it. None is not sent."""
    logit_bias: tuple[tuple[str, float], ...] = ()
    """Pairs of a token id and the value added to its logit."""
    top_logprobs: int | None = None
    """Alternatives to report for each token of the reply. None asks for no log-probabilities."""
    echo: bool = False
    """True to get the prompt back in front of the reply, with the log-probabilities of its
    tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Its fields, and nothing else, determine the reply."""

    endpoint: str
    """Base URL of the service, or `local`."""
    model: str
    prompt: str | tuple[Message, ...]
    """A text to continue, or the messages of a conversation to answer."""
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    """JSON schema for the reply, enforced by services that support it."""
    sample: int = 0
    """Distinguishes several samples of the same prompt, which would otherwise share a key."""
    key: str = field(init=False, compare=False)
    """SHA-256 of all fields above, as 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        text = json.dumps(self.sent(), sort_keys=True)
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest())

    def sent(self) -> dict[str, Any]:
        """Return everything that determines the reply, ready for JSON."""
        sampling = {name: getattr(self.sampling, name) for name in Sampling.__slots__}
        # `echo` was added after ledgers existed. Leaving out its default keeps the old keys, so
        # that replies bought before are still found.
        if not self.sampling.echo:
            del sampling["echo"]
        return {
            "endpoint": self.endpoint,
            "model": self.model,
            "prompt": self.prompt,
            "sampling": sampling,
            "schema": self.schema,
            "sample": self.sample,
        }

    def estimated_prompt_tokens(self) -> int:
        """Estimate the prompt's tokens without a tokenizer: 3 bytes of UTF-8 each, 8 per message.

        In GPT-4's vocabularies a token covers 4 to 5 bytes of English and about 3 of Korean, so the
        estimate is on the high side. A model that hardly knows a script needs up to 3 times more.
        """
        if isinstance(self.prompt, str):
            return estimated_tokens(self.prompt)
        return sum(8 + estimated_tokens(message["content"]) for message in self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply to one request."""

    text: str
    finish: str
    """Why it ended: `stop`, `length` (cut by the token limit), `content_filter`, or `error`."""
    prompt_tokens: int
    completion_tokens: int
    logprobs: tuple[Mapping[str, float], ...] = ()
    """Log-probabilities of the likeliest alternatives, by text, for each token of the reply."""
    tokens: tuple[str, ...] = ()
    """Texts of the tokens in `logprobs`, if the service reports them."""
    error: str | None = None
    """Why there is no text, if the service would not answer this request."""

    @classmethod
    def failed(cls, reason: str) -> Reply:
        """Return the reply for a request that the service will never answer. It costs nothing."""
        return cls(text="", finish="error", prompt_tokens=0, completion_tokens=0, error=reason)


class LanguageModel(Protocol):
    """Anything that answers requests: an HTTP client, a batch client, a model in this process."""

    async def ask(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            UserError: no request can be answered; the message names the remedy.
        """
        ...

    def stop(self) -> None:
        """Start nothing new. Requests in flight may finish; every later `ask` raises."""
        ...


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text: 3 bytes of UTF-8 each, rounded up."""
    return ceil_div(len(text.encode(errors="replace")), 3)
