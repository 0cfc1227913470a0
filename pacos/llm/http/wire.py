"""Requests and replies as OpenAI's API writes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pacos.llm.config import StructuredOutput
from pacos.llm.request import Reply, Request, estimated_tokens

log = logging.getLogger("pacos.llm")

DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Values that OpenAI's API takes where nothing is sent. They are sent all the same: vLLM and
llama.cpp have defaults of their own, from the model's generation_config.json or 0.8."""

FEWER_LOGPROBS = {20: 5, 5: 0}
"""Alternatives a token that are asked for when as many were refused: 20 is the most of OpenAI's
conversations, 5 that of its completions and of older servers; others give none."""

FINISHES = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""Reasons other than an ordinary stop, which goes by many names."""


class MalformedReplyError(Exception):
    """What came back is no reply."""


class Schemas(Enum):
    """How a service is told the form of a reply."""

    json_schema = "json_schema"
    """OpenAI's way, and vLLM's."""
    json_object = "json_object"
    """That of llama-cpp-python: a schema beside the type `json_object`."""
    never = "never"

    def plainer(self) -> Schemas:
        """What to try when a service refuses this way."""
        return Schemas.json_object if self is Schemas.json_schema else Schemas.never


@dataclass(frozen=True, slots=True)
class Dialect:
    """A service's way of speaking, as far as it has shown."""

    limit: str = "max_tokens"
    """Name of the token limit. OpenAI's reasoning models refuse it and want
    `max_completion_tokens`, which some other servers do not know."""
    schemas: Schemas = Schemas.json_schema
    omitted: frozenset[str] = frozenset()
    """Fields of DEFAULTS that the service refuses even at their default."""
    most_logprobs: int = 20
    """Alternatives a token that it gives; 0: it gives no log-probabilities."""


class Speech:
    """How a service is spoken to: learns from what it refuses."""

    def __init__(self, structured_output: StructuredOutput) -> None:
        self._schemas_are_optional = structured_output is StructuredOutput.auto
        never = structured_output is StructuredOutput.never
        self.dialect = Dialect(schemas=Schemas.never if never else Schemas.json_schema)

    def adapt(self, spoken: Dialect, request: Request, field: str | None) -> bool:
        """Do without a field that was refused to a request in `spoken`; False if that cannot be."""
        if self.dialect is not spoken:
            return True
        if field == "max_tokens" and spoken.limit == field:
            self.dialect = replace(spoken, limit="max_completion_tokens")
        elif field == "response_format" and spoken.schemas is not Schemas.never:
            plainer = spoken.schemas.plainer()
            if plainer is Schemas.never and not self._schemas_are_optional:
                return False
            if plainer is Schemas.never:
                log.warning("the service takes no JSON schemas: replies are not bound to them")
            self.dialect = replace(spoken, schemas=plainer)
        elif field == "logprobs" and spoken.most_logprobs:
            fewer = FEWER_LOGPROBS[spoken.most_logprobs]
            log.warning(
                f"the service does not give {spoken.most_logprobs} log-probabilities a token: "
                + (f"{fewer} are asked for" if fewer else "none are asked for")
            )
            self.dialect = replace(spoken, most_logprobs=fewer)
        elif (
            field in DEFAULTS
            and field not in spoken.omitted
            and getattr(request.sampling, field) == DEFAULTS[field]
        ):
            self.dialect = replace(spoken, omitted=spoken.omitted | {field})
        else:
            return False
        return True


def body(request: Request, dialect: Dialect) -> dict[str, Any]:
    """The JSON that asks for one reply."""
    sampling = request.sampling
    sent: dict[str, Any] = {"model": request.model, dialect.limit: sampling.max_tokens}
    chat = not isinstance(request.prompt, str)
    sent["messages" if chat else "prompt"] = request.prompt
    sent |= {name: getattr(sampling, name) for name in DEFAULTS if name not in dialect.omitted}
    if sampling.stop:
        sent["stop"] = sampling.stop
    if sampling.seed is not None:
        sent["seed"] = sampling.seed
    if sampling.logit_bias:
        sent["logit_bias"] = dict(sampling.logit_bias)
    if sampling.top_logprobs is not None and dialect.most_logprobs:
        most = min(sampling.top_logprobs, dialect.most_logprobs)
        sent |= {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
    if sampling.echo:
        sent["echo"] = True
    if request.schema is not None and dialect.schemas is Schemas.json_schema:
        schema = {"name": "reply", "strict": True, "schema": request.schema}
        sent["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.schema is not None and dialect.schemas is Schemas.json_object:
        sent["response_format"] = {"type": "json_object", "schema": request.schema}
    return sent


def reply_of(document: Any, request: Request) -> Reply:
    """The reply in a completion object.

    Raises:
        MalformedReplyError: it has not the form of one, or says that the reply was broken off.
    """
    try:
        choice = document["choices"][0]
        finish = choice.get("finish_reason")
        if "message" in choice:
            text, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        else:
            text, refusal = choice["text"], None
        logprobs, tokens = _logprobs(choice.get("logprobs"))
        usage = document.get("usage") or {}
        used = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise MalformedReplyError(f"no completion: {str(document)[:200]}") from error
    if finish in ("abort", "error"):
        raise MalformedReplyError(f"broken off by the service (finish_reason {finish})")
    text = _encodable(text or "")
    return Reply(
        text=text,
        finish="content_filter" if refusal else FINISHES.get(finish, "stop"),
        prompt_tokens=request.estimated_prompt_tokens() if used[0] is None else used[0],
        completion_tokens=estimated_tokens(text) if used[1] is None else used[1],
        logprobs=logprobs,
        tokens=tokens,
        error=_encodable(refusal) if refusal else None,
    )


def _logprobs(
    found: Mapping[str, Any] | None,
) -> tuple[tuple[Mapping[str, float], ...], tuple[str, ...]]:
    """Alternatives at each token, and the tokens themselves."""
    if not found:
        return (), ()
    if "content" in found:
        chosen = found["content"] or ()
        alternatives = tuple(
            {
                _encodable(alternative["token"]): alternative["logprob"]
                # Reversed, so that of two tokens with one text the likelier stays.
                for alternative in reversed(token.get("top_logprobs") or [token])
            }
            for token in chosen
        )
        return alternatives, tuple(_encodable(token["token"]) for token in chosen)
    tokens = tuple(_encodable(token) for token in found.get("tokens") or ())
    if found.get("top_logprobs"):
        return tuple(dict(alternatives or {}) for alternatives in found["top_logprobs"]), tokens
    pairs = zip(tokens, found.get("token_logprobs") or (), strict=True)
    # The first token of an echoed prompt has none.
    return tuple({} if logprob is None else {token: logprob} for token, logprob in pairs), tokens


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which a reply cut inside an emoji can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
