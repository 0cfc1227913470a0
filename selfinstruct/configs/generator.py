"""Config of the generator: the language model that writes tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pacos.errors import Problem
from pacos.identity import FREE
from pacos.llm.config import EndpointConfig, StructuredOutput
from pacos.llm.request import Request, Sampling
from pacos.prompts.formats import PromptFormat
from pacos.schemas import Message

LOCAL = "local"
"""`Request.endpoint` of a model in this process, which has no URL."""


@dataclass(kw_only=True, slots=True)
class GeneratorConfig:
    """The generator: a model that transformers runs in this process, or a service."""

    name: str = "???"
    """Name of the generator, stored with every row."""
    terms: str = "???"
    """Licence or terms of use of the generator's outputs, stored with every row: an id of
    docs/licences.md, such as openai-output, llama3.1 or apache-2.0."""
    model: str | None = None
    """Model that runs in this process: a directory, a hub id or `embedded:NAME`. Null: `endpoint`
    answers."""
    prompt_format: PromptFormat | None = None
    """Chat format of a model in this process. Null: a base model, which continues texts. A wrong
    format makes a chat model write nonsense."""
    batch_size: int = field(default=16, metadata=FREE)
    """Replies that a model in this process decodes together. More is faster and needs more
    memory."""
    endpoint: EndpointConfig | None = None
    """Service that answers. Null: `model` runs in this process."""
    serve: str | None = field(default=None, metadata=FREE)
    """Command that serves `endpoint.model` at `endpoint.url` on this machine; the run starts it and
    ends it. Null: the service is already running."""

    @property
    def subject(self) -> str:
        """Name of the model, as the endpoint knows it."""
        if self.endpoint is not None:
            return self.endpoint.model
        return str(self.model)

    @property
    def is_chat(self) -> bool:
        """True if it answers messages; False if it continues a text."""
        if self.endpoint is not None:
            return self.endpoint.api.takes_messages
        return self.prompt_format is not None

    @property
    def is_structured(self) -> bool:
        """True if replies can be bound to a JSON schema."""
        if self.endpoint is None:
            return False
        return self.is_chat and self.endpoint.structured_output is not StructuredOutput.never

    def request(
        self,
        prompt: str | tuple[Message, ...],
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
    ) -> Request:
        """Return a request addressed to this generator."""
        if self.endpoint is not None:
            return self.endpoint.request(prompt, sampling, schema)
        model = str(self.model)
        return Request(endpoint=LOCAL, model=model, prompt=prompt, sampling=sampling, schema=schema)

    def problems(self) -> list[Problem]:
        """Return every problem of the values."""
        problems = []
        if (self.model is None) == (self.endpoint is None):
            pair = f"{self.model}, {'null' if self.endpoint is None else self.endpoint.url}"
            fault = "exactly one of the two must be set"
            remedy = "choose generator=local, or generator=server for a service"
            problems.append(Problem("generator.model, generator.endpoint", pair, fault, remedy))
        if self.batch_size < 1:
            fault = "must be at least 1"
            problems.append(Problem("generator.batch_size", self.batch_size, fault, "raise it"))
        if self.endpoint is not None:
            problems.extend(self.endpoint.problems("generator.endpoint"))
        if self.serve is not None and self.endpoint is None:
            fault, remedy = "needs generator.endpoint, which is null", "choose generator=vllm"
            problems.append(Problem("generator.serve", self.serve, fault, remedy))
        return problems
