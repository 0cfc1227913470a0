"""The dialect of OpenAI's API that a service speaks, learned from the fields it refuses."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from enum import Enum

from pacos.llm.config import StructuredOutput
from pacos.llm.request import Request

log = logging.getLogger("pacos.llm")

DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""OpenAI's defaults. They are sent anyway: vLLM and llama.cpp have other defaults, taken from the
model's generation_config.json or built in (temperature 0.8)."""

FEWER_LOGPROBS = {20: 5, 5: 0}
"""Alternatives per token to ask for after so many were refused. 20 is OpenAI's limit for chat, 5
its limit for completions and that of older servers. Some services give none."""


class SchemaStyle(Enum):
    """The way to send a JSON schema for the reply."""

    json_schema = "json_schema"
    """OpenAI's and vLLM's."""
    json_object = "json_object"
    """llama-cpp-python's: a schema beside the type `json_object`."""
    never = "never"

    def fallback(self) -> SchemaStyle:
        """Return the style to try after this one was refused."""
        return SchemaStyle.json_object if self is SchemaStyle.json_schema else SchemaStyle.never


@dataclass(frozen=True, slots=True)
class Dialect:
    """One variant of the API."""

    limit: str = "max_tokens"
    """Field for the token limit. OpenAI's reasoning models accept only `max_completion_tokens`,
    which some other servers do not know."""
    schemas: SchemaStyle = SchemaStyle.json_schema
    omitted: frozenset[str] = frozenset()
    """Fields of DEFAULTS that the service refuses even at their default."""
    most_logprobs: int = 20
    """Most alternatives per token. 0 if the service gives no log-probabilities."""


class DialectLearner:
    """The dialect of one service as known so far. Starts with OpenAI's and adapts to refusals."""

    def __init__(self, structured_output: StructuredOutput) -> None:
        self._schemas_are_optional = structured_output is StructuredOutput.auto
        never = structured_output is StructuredOutput.never
        self.dialect = Dialect(schemas=SchemaStyle.never if never else SchemaStyle.json_schema)

    def adapt(self, sent: Dialect, request: Request, field: str | None) -> bool:
        """Adapt the dialect after `field` of a request in dialect `sent` was refused.

        Returns:
            True if the request may be sent again; False if the request needs the field.
        """
        if self.dialect is not sent:
            # Another request, sent at the same time, met the same refusal and adapted already.
            return True
        if field == "max_tokens" and sent.limit == field:
            self.dialect = replace(sent, limit="max_completion_tokens")
        elif field == "response_format" and sent.schemas is not SchemaStyle.never:
            style = sent.schemas.fallback()
            if style is SchemaStyle.never and not self._schemas_are_optional:
                return False
            if style is SchemaStyle.never:
                log.warning("the service supports no JSON schemas: replies are not bound to them")
            self.dialect = replace(sent, schemas=style)
        elif field == "logprobs" and sent.most_logprobs:
            fewer = FEWER_LOGPROBS[sent.most_logprobs]
            log.warning(
                f"the service does not give {sent.most_logprobs} log-probabilities per token: "
                f"asking for {fewer or 'none'}"
            )
            self.dialect = replace(sent, most_logprobs=fewer)
        elif (
            field in DEFAULTS
            and field not in sent.omitted
            # Any other value was chosen on purpose: dropping it would change the replies.
            and getattr(request.sampling, field) == DEFAULTS[field]
        ):
            self.dialect = replace(sent, omitted=sent.omitted | {field})
        else:
            return False
        return True
