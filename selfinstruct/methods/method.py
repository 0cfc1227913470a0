"""The steps that a method consists of, and the values they hand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pacos.llm.request import Reply, Request, Sampling
from pacos.schemas import Message
from selfinstruct.candidates.candidate import CUT, Candidate
from selfinstruct.configs.method import MethodConfig, StepConfig
from selfinstruct.pool.pool import Examples
from selfinstruct.requests.prompts import Prompt
from selfinstruct.screening.screen import Screen
from selfinstruct.screening.verdict import Verdict

SEED_LIMIT = 2**31
"""Upper bound of sampling seeds: llama.cpp stores them in 32 bits."""

MakeRequest = Callable[[str | tuple[Message, ...], Sampling, Mapping[str, Any] | None], Request]
"""Address a prompt, with its sampling and the schema of the reply, to the generator."""

Ask = Callable[[Request], Awaitable[Reply]]
"""Send a request to the generator, and wait for its reply."""


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A request for new tasks, and what it was made of."""

    number: int
    lang: str
    examples: Examples
    prefix: str
    """The end of the prompt, which the reply continues: to be put before the reply."""
    request: Request


@dataclass(frozen=True, slots=True)
class Completion:
    """The outcome of a method's remaining steps for one accepted instruction."""

    candidates: Sequence[Candidate]
    """Whole tasks: the instances of the instruction."""
    verdicts: Sequence[Verdict]
    """One per candidate."""
    requests: tuple[str, ...] = ()
    """Ledger keys of the requests that the steps took."""
    is_classification: bool | None = None
    """Answer of Self-Instruct's second step; None: the method does not ask, or the request failed.
    """


class Method(Protocol):
    """A way to make the generator write tasks."""

    def task_request(self, number: int, lang: str, examples: Examples) -> TaskRequest:
        """Write request `number`, which shows `examples` and asks for new tasks."""
        ...

    def candidates(self, source: TaskRequest, reply: Reply) -> list[Candidate]:
        """Parse the reply: whole tasks, or instructions alone."""
        ...

    def screen_new(self, candidate: Candidate, lang: str, screen: Screen) -> Verdict:
        """Judge a candidate of `candidates`; if accepted, its instruction enters the pool."""
        ...

    async def complete(
        self, candidate: Candidate, lang: str, ask: Ask, screen: Screen
    ) -> Completion:
        """Take an accepted candidate through the remaining steps, and judge the outcome."""
        ...

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """Estimate the prompt tokens of the remaining steps, for the quote."""
        ...


def make_step_request(
    prompt: Prompt, step: StepConfig, seed: int, make_request: MakeRequest
) -> Request:
    """Return the request of one step; stop strings in its config replace those of the prompt."""
    stop = () if step.stop else prompt.stop
    return make_request(prompt.content, step.sampling(seed % SEED_LIMIT, stop), prompt.schema)


def drop_if_cut(candidates: list[Candidate], reply: Reply, config: MethodConfig) -> list[Candidate]:
    """Mark every candidate of a cut reply as defective, where the config asks for that."""
    if reply.finish != "length" or not config.drop_cut_replies:
        return candidates
    return [replace(candidate, defect=CUT) for candidate in candidates]
