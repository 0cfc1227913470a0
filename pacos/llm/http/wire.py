"""Wire formats: requests and replies as the JSON of one API of a service.

To add an API, write its `WireFormat` here or in a module beside this one, enter it in WIRE_FORMATS
(transport.py, which also sends the key), and name it in `Api` (pacos/llm/config.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pacos.llm.http.dialect import DEFAULTS, Dialect, SchemaStyle
from pacos.llm.request import Reply, Request, estimated_tokens

FINISHES = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""Finish reasons other than an ordinary stop, which services name differently (`stop`, `eos`)."""

BROKEN_OFF = ("abort", "error")
"""Finish reasons of a reply that the service did not complete, such as vLLM's `abort`, despite its
status 200."""


class MalformedReplyError(Exception):
    """The response is not a reply."""


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One API of a service."""

    path: str
    """Path below the base URL."""
    body: Callable[[Request, Dialect], dict[str, Any]]
    """Returns the JSON that asks for one reply."""
    read: Callable[[Any, Request], Reply]
    """Returns the reply in a response. Raises MalformedReplyError if it holds none."""


def _chat_body(request: Request, dialect: Dialect) -> dict[str, Any]:
    most = _alternatives(request, dialect)
    logprobs = {} if most is None else {"logprobs": True, "top_logprobs": most}
    return _body(request, dialect, "messages", logprobs)


def _read_chat(document: Any, request: Request) -> Reply:
    with _malformed(document):
        choice = document["choices"][0]
        message = choice["message"]
        return _reply(document, request, choice, message.get("content"), message.get("refusal"))


def _completions_body(request: Request, dialect: Dialect) -> dict[str, Any]:
    most = _alternatives(request, dialect)
    return _body(request, dialect, "prompt", {} if most is None else {"logprobs": most})


def _read_completion(document: Any, request: Request) -> Reply:
    with _malformed(document):
        choice = document["choices"][0]
        return _reply(document, request, choice, choice["text"], None)


CHAT = WireFormat("chat/completions", _chat_body, _read_chat)
"""OpenAI's chat completions."""

COMPLETIONS = WireFormat("completions", _completions_body, _read_completion)
"""OpenAI's legacy completions, which vLLM and llama.cpp still serve for base models."""


def _body(
    request: Request, dialect: Dialect, prompt: str, logprobs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON of a request.

    Args:
        request: the request.
        dialect: of the service.
        prompt: name of the field that holds the prompt.
        logprobs: fields that ask for log-probabilities.
    """
    sampling = request.sampling
    body: dict[str, Any] = {"model": request.model, dialect.limit: sampling.max_tokens}
    body[prompt] = request.prompt
    body |= {name: getattr(sampling, name) for name in DEFAULTS if name not in dialect.omitted}
    if sampling.stop:
        body["stop"] = sampling.stop
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logit_bias:
        body["logit_bias"] = dict(sampling.logit_bias)
    body |= logprobs
    if sampling.echo:
        body["echo"] = True
    if request.schema is not None and dialect.schemas is SchemaStyle.json_schema:
        schema = {"name": "reply", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.schema is not None and dialect.schemas is SchemaStyle.json_object:
        body["response_format"] = {"type": "json_object", "schema": request.schema}
    return body


def _alternatives(request: Request, dialect: Dialect) -> int | None:
    """Return the alternatives per token to ask for; None to ask for no log-probabilities."""
    if request.sampling.top_logprobs is None or not dialect.most_logprobs:
        return None
    return min(request.sampling.top_logprobs, dialect.most_logprobs)


@contextmanager
def _malformed(document: Any) -> Iterator[None]:
    """Turn the errors of reading a document of another shape into MalformedReplyError."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise MalformedReplyError(f"no completion: {str(document)[:200]}") from error


def _reply(
    document: Any, request: Request, choice: Any, text: str | None, refusal: str | None
) -> Reply:
    finish = choice.get("finish_reason")
    logprobs, tokens = _logprobs(choice.get("logprobs"))
    usage = document.get("usage") or {}
    prompt_tokens, completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if finish in BROKEN_OFF:
        raise MalformedReplyError(f"broken off by the service (finish_reason {finish})")
    text = _encodable(text or "")
    # Without usage, as from some local servers, the budget needs at least an estimate.
    if prompt_tokens is None:
        prompt_tokens = request.estimated_prompt_tokens()
    if completion_tokens is None:
        completion_tokens = estimated_tokens(text)
    return Reply(
        text=text,
        finish="content_filter" if refusal else FINISHES.get(finish, "stop"),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        logprobs=logprobs,
        tokens=tokens,
        error=_encodable(refusal) if refusal else None,
    )


def _logprobs(
    logprobs: Mapping[str, Any] | None,
) -> tuple[tuple[Mapping[str, float], ...], tuple[str, ...]]:
    """Return the alternatives at each token, and the tokens themselves.

    The layout does not follow the API: older llama-cpp-python uses that of completions for chat.
    """
    if not logprobs:
        return (), ()
    if "content" in logprobs:
        chosen = logprobs["content"] or ()
        alternatives = tuple(
            {
                _encodable(alternative["token"]): alternative["logprob"]
                # Reversed, so that of two tokens with the same text the likelier remains.
                for alternative in reversed(token.get("top_logprobs") or [token])
            }
            for token in chosen
        )
        return alternatives, tuple(_encodable(token["token"]) for token in chosen)
    tokens = tuple(_encodable(token) for token in logprobs.get("tokens") or ())
    if logprobs.get("top_logprobs"):
        top = logprobs["top_logprobs"]
        return tuple(dict(alternatives or {}) for alternatives in top), tokens
    pairs = zip(tokens, logprobs.get("token_logprobs") or (), strict=True)
    # The first token of an echoed prompt has no log-probability: nothing precedes it.
    return tuple({} if logprob is None else {token: logprob} for token, logprob in pairs), tokens


def _encodable(text: str) -> str:
    """Replace lone surrogates, which a reply cut inside an emoji can hold and UTF-8 cannot."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
