"""Config of the method. Every constant of the two papers is a value here or in conf/method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from pacos.errors import Problem
from pacos.llm.request import Sampling


class FilterSetName(Enum):
    """A set of filters; screening/filter_sets.py lists their members."""

    fixed = "fixed"
    """pacos' own: the papers' filters without their defects, and more."""
    self_instruct_paper = "self_instruct_paper"
    alpaca_paper = "alpaca_paper"


@dataclass(kw_only=True, slots=True)
class StepConfig:
    """Sampling of the replies in one step of a method."""

    max_tokens: int = 1024
    """Token limit of a reply. Too low, and the last task of each reply is cut and dropped."""
    temperature: float = 1.0
    """Sampling temperature; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus: smallest probability mass that tokens are drawn from, in (0, 1]."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token that has occurred. Ignored by a local generator."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit per occurrence. Ignored by a local generator."""
    stop: list[str] = field(default_factory=list)
    """Strings that end a reply; empty takes those of the prompt. One that can occur inside an
    answer cuts the answer there."""

    def sampling(self, seed: int, extra_stop: tuple[str, ...] = ()) -> Sampling:
        """Return the sampling of a request."""
        return Sampling(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            stop=(*self.stop, *extra_stop),
            # A greedy reply needs no seed. With one, equal requests would differ and be paid twice.
            seed=seed if self.temperature > 0 else None,
        )

    def problems(self, key: str) -> Iterator[Problem]:
        """Yield every problem of the values, under the config key of this step."""
        if self.max_tokens < 1:
            yield Problem(f"{key}.max_tokens", self.max_tokens, "must be at least 1", "raise it")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            pair = f"{self.temperature}, {self.top_p}"
            remedy = "choose temperature of at least 0 and top_p in (0, 1]"
            yield Problem(f"{key}.temperature, {key}.top_p", pair, "cannot be sampled", remedy)


@dataclass(kw_only=True, slots=True)
class MethodConfig:
    """The way the generator is asked for new tasks."""

    name: str = "???"
    """Name of the method; part of the default run name."""
    num_seed_examples: int = 3
    """Seed tasks shown per request for tasks (Self-Instruct: 6, Alpaca: 3)."""
    num_pool_examples: int = 0
    """Generated tasks shown beside them; seeds take their place until the pool has enough
    (Self-Instruct: 2, Alpaca: 0)."""
    tasks_per_request: int = 16
    """New tasks per request (Self-Instruct: 8, Alpaca: 16)."""
    max_example_words: int | None = None
    """Longest seed task shown, in words of instruction, input and output together. Short ones make
    prompts cheaper. Null: no limit."""
    openers: list[str] = field(default_factory=list)
    """First words of the new instruction, used in turn, one per request. They give a small model
    the variety it lacks. Empty: the generator writes the first word."""
    as_conversations: bool = False
    """Show tasks as conversations in the generator's chat format and let it continue them: the form
    that a small chat model handles best. Needs a local generator with a prompt_format."""
    structured: bool = True
    """Bind replies to a JSON schema if the endpoint supports it."""
    strict_numbers: bool = False
    """Drop a task whose number is not the expected one, as Alpaca does: one wrong number loses the
    rest of a reply."""
    drop_cut_replies: bool = False
    """Drop the whole reply if the token limit cut it, as Self-Instruct does; false drops only its
    last task."""
    capitalize: bool = False
    """Lower-case every letter of an instruction but the first, as Self-Instruct does; damages names
    and code."""
    filters: FilterSetName = FilterSetName.fixed
    """Filters of the candidates: `fixed`, or those of a paper with their defects (which reject all
    Korean)."""
    max_instances: int = 5
    """Most rows kept per instruction (Self-Instruct: 5)."""
    tasks: StepConfig = field(default_factory=StepConfig)
    """Requests for new tasks; in Self-Instruct, for their instructions only."""
    classification: StepConfig | None = None
    """Requests that ask whether an instruction is a classification task. Null: the method has one
    step."""
    output_first: StepConfig | None = None
    """Requests for instances of classification tasks: a label, then an input for it."""
    input_first: StepConfig | None = None
    """Requests for instances of all other tasks."""

    @property
    def has_one_step(self) -> bool:
        """True if a reply holds whole tasks (Alpaca)."""
        return self.classification is None

    def problems(self) -> list[Problem]:
        """Return every problem of the values, independent of the rest of the config."""
        at_least = {
            "num_seed_examples": (self.num_seed_examples, 1),
            "num_pool_examples": (self.num_pool_examples, 0),
            "tasks_per_request": (self.tasks_per_request, 1),
            "max_example_words": (self.max_example_words, 1),
            "max_instances": (self.max_instances, 1),
        }
        problems = [
            Problem(f"method.{key}", value, f"must be at least {low}", "raise it")
            for key, (value, low) in at_least.items()
            if value is not None and value < low
        ]
        later = ("classification", "output_first", "input_first")
        for name in ("tasks", *later):
            step = getattr(self, name)
            problems.extend(step.problems(f"method.{name}") if step is not None else ())
        absent = [name for name in later if getattr(self, name) is None]
        if absent and len(absent) < len(later):
            key = ", ".join(f"method.{name}" for name in absent)
            remedy = "set all three (Self-Instruct) or none (one step)"
            problems.append(Problem(key, None, "is missing beside the other steps", remedy))
        return problems
