"""What is sent to a language model, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

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

    @property
    def key(self) -> str:
        """Digest of everything above, in hexadecimal."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


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
    error: str | None = None
    """Why there is no text, where the service would not answer this request."""
