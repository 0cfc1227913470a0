"""Config of the teacher: the language model that writes the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pacos.errors import Problem
from pacos.llm.config import Api, EndpointConfig, StructuredOutput
from pacos.llm.request import Request, Sampling
from pacos.model.formats import PromptFormat
from pacos.schemas import Message

LOCAL = "local"
"""Endpoint of requests to a model in this process."""


@dataclass(kw_only=True, slots=True)
class GeneratorConfig:
    """The teacher: a model that transformers runs in this process, or a service."""

    name: str = "???"
    """Name of the generator, recorded with every row."""
    terms: str = "???"
    """Licence or terms of the teacher's outputs, recorded with every row."""
    model: str | None = None
    """Model directory, hub id or `embedded:NAME`, run in this process; null asks `endpoint`."""
    prompt_format: PromptFormat | None = None
    """Chat format of a model in this process. Null: a base model, which continues texts."""
    batch_size: int = 16
    """Replies that a model in this process writes side by side."""
    endpoint: EndpointConfig | None = None
    """The service that is asked. Null: `model` runs in this process."""
    serve: str | None = None
    """Command that serves `endpoint.model` at `endpoint.url`, on this machine, and runs for as long
    as the run needs it; null: the service is there."""

    @property
    def subject(self) -> str:
        """The model, as the teacher's side calls it."""
        if self.endpoint is not None:
            return self.endpoint.model
        return str(self.model)

    @property
    def is_chat(self) -> bool:
        """Whether it answers messages, instead of continuing a text."""
        if self.endpoint is not None:
            return self.endpoint.api is Api.chat
        return self.prompt_format is not None

    @property
    def is_structured(self) -> bool:
        """Whether replies can be bound to a schema."""
        if self.endpoint is None:
            return False
        return self.is_chat and self.endpoint.structured_output is not StructuredOutput.never

    def request(
        self,
        prompt: str | tuple[Message, ...],
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
    ) -> Request:
        """A request to this teacher."""
        if self.endpoint is not None:
            return self.endpoint.request(prompt, sampling, schema)
        model = str(self.model)
        return Request(endpoint=LOCAL, model=model, prompt=prompt, sampling=sampling, schema=schema)

    def problems(self) -> list[Problem]:
        """What is wrong with the values."""
        found = []
        if (self.model is None) == (self.endpoint is None):
            pair = f"{self.model}, {'null' if self.endpoint is None else self.endpoint.url}"
            what = "exactly one of the two is the teacher"
            remedy = "choose generator=local, or generator=server for a service"
            found.append(Problem("generator.model, generator.endpoint", pair, what, remedy))
        if self.batch_size < 1:
            what = "must be at least 1"
            found.append(Problem("generator.batch_size", self.batch_size, what, "raise it"))
        if self.endpoint is not None:
            found.extend(self.endpoint.problems("generator.endpoint"))
        if self.serve is not None and self.endpoint is None:
            what, remedy = "serves an endpoint, and there is none", "choose generator=vllm"
            found.append(Problem("generator.serve", self.serve, what, remedy))
        return found
