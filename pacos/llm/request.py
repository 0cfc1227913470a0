"""What is sent to a language model, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pacos.schemas import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a reply is drawn, in the terms of the OpenAI API."""

    max_tokens: int
    """Longest reply, in tokens."""
    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    """Texts that end the reply; they are not part of it."""
    seed: int | None = None
    """Makes the draw repeatable where the server knows it; None is not sent."""
    logit_bias: tuple[tuple[str, float], ...] = ()
    """Token id and what is added to its logit."""
    top_logprobs: int | None = None
    """Alternatives reported for each token of the reply; None asks for none."""
    echo: bool = False
    """Whether a text to be completed comes first in the reply, with its tokens' probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One reply wanted. All of it, and nothing else, decides the reply."""

    endpoint: str
    """Base URL of the service, or `local`."""
    model: str
    prompt: str | tuple[Message, ...]
    """A text to be completed, or the messages of a conversation to be answered."""
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    """JSON schema that the reply is bound to, where the service offers that."""
    sample: int = 0
    """Tells apart requests that are otherwise the same: further draws from one prompt."""
    key: str = field(init=False, compare=False)
    """SHA-256 of everything above, 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        text = json.dumps(self.sent(), sort_keys=True)
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest())

    def sent(self) -> dict[str, Any]:
        """Everything that decides the reply, for JSON."""
        sampling = {name: getattr(self.sampling, name) for name in Sampling.__slots__}
        # It came later: without it, a request has the key that its reply was bought under.
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
        """Tokens of the prompt without a tokenizer: one for three bytes of UTF-8, 8 a message.

        English has 4 to 5 bytes a token and Korean about 3 in the vocabularies of GPT-4, so this
        errs on the high side there; a model that hardly knows a script needs up to 3 times more.
        """
        if isinstance(self.prompt, str):
            return estimated_tokens(self.prompt)
        return sum(8 + estimated_tokens(message["content"]) for message in self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    text: str
    finish: str
    """Why it ended: `stop`, `length` (cut by the token limit), `content_filter`, or `error`."""
    prompt_tokens: int
    completion_tokens: int
    logprobs: tuple[Mapping[str, float], ...] = ()
    """For each token of the reply the log-probabilities of the likeliest alternatives, by text."""
    tokens: tuple[str, ...] = ()
    """The texts of the tokens that `logprobs` speaks of, where it has any."""
    error: str | None = None
    """Why there is no text, where the service would not answer this request."""

    @classmethod
    def failure(cls, reason: str) -> Reply:
        """The reply to a request that the service will not answer. It costs nothing."""
        return cls(text="", finish="error", prompt_tokens=0, completion_tokens=0, error=reason)


class Teacher(Protocol):
    """Whatever answers requests: a client, a batch, a replay, a model in this process."""

    async def ask(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            UserError: no request can be answered, and what to do about it.
        """
        ...

    def stop(self) -> None:
        """Begin nothing more; what is under way may end, and every other `ask` raises."""
        ...


def estimated_tokens(text: str) -> int:
    """Tokens of a text, at three bytes of UTF-8 a token, rounded up."""
    return -(-len(text.encode(errors="replace")) // 3)
