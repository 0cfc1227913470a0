"""Config of how the teacher is asked: every constant of the two papers is a value here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from pacos.errors import Problem
from pacos.llm.request import Sampling


class Filters(Enum):
    """Which filters judge the candidates; see `selfinstruct/screening/rules.py`."""

    fixed = "fixed"
    self_instruct_paper = "self_instruct_paper"
    alpaca_paper = "alpaca_paper"


@dataclass(kw_only=True, slots=True)
class StepConfig:
    """How the replies of one kind of request are drawn."""

    max_tokens: int = 1024
    """Longest reply, in tokens."""
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Share of the probability that is drawn from."""
    presence_penalty: float = 0.0
    """Taken from the logits of tokens that have occurred: pushes to new words."""
    frequency_penalty: float = 0.0
    """Taken from logits for each time that a token has occurred."""
    stop: list[str] = field(default_factory=list)
    """Texts that end a reply. One that can stand inside an answer cuts it there."""

    def sampling(self, seed: int, extra_stop: tuple[str, ...] = ()) -> Sampling:
        """As a request carries it."""
        return Sampling(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            stop=(*self.stop, *extra_stop),
            # A reply without randomness needs none; two of them would be asked apart for nothing.
            seed=seed if self.temperature > 0 else None,
        )

    def problems(self, key: str) -> Iterator[Problem]:
        """What is wrong, under the config key of this step."""
        if self.max_tokens < 1:
            yield Problem(f"{key}.max_tokens", self.max_tokens, "must be at least 1", "raise it")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            pair = f"{self.temperature}, {self.top_p}"
            remedy = "choose temperature of at least 0 and top_p in (0, 1]"
            yield Problem(f"{key}.temperature, {key}.top_p", pair, "no sampling", remedy)


@dataclass(kw_only=True, slots=True)
class MethodConfig:
    """How the teacher is asked for new tasks."""

    name: str = "???"
    """Name of the method, used in names of runs."""
    num_seed_examples: int = 3
    """Seed tasks shown in each request for tasks (Self-Instruct: 6, Alpaca: 3)."""
    num_pool_examples: int = 0
    """Generated tasks shown beside them, as far as there are any; until then seeds take their
    place (Self-Instruct: 2, Alpaca: 0)."""
    tasks_per_request: int = 16
    """New tasks asked for in one request (Self-Instruct: 8, Alpaca: 16)."""
    max_example_words: int | None = None
    """Longest seed task shown, its three texts together; short ones make a prompt cheap. Null: all
    are shown."""
    openers: list[str] = field(default_factory=list)
    """First words of the new instruction, one of them a request in turn: they give a small model
    the variety that it does not find by itself. Empty: the teacher writes the first word."""
    as_conversations: bool = False
    """Write tasks out as conversations in the teacher's chat format, to be gone on with: what a
    small chat model does best. Only for a local generator with a prompt_format."""
    structured: bool = True
    """Bind replies to a JSON schema where the endpoint offers it."""
    strict_numbers: bool = False
    """Drop a task whose numbering is not the expected one, as Alpaca does."""
    drop_cut_replies: bool = False
    """Drop the whole reply where the token limit ended it, as Self-Instruct does; else its last
    task alone."""
    capitalize: bool = False
    """Lower-case all of an instruction but its first letter, as Self-Instruct does: this damages
    names and code."""
    filters: Filters = Filters.fixed
    """Which filters judge candidates: those of a paper, or `fixed`."""
    max_instances: int = 5
    """Most rows kept of one instruction (Self-Instruct: 5)."""
    tasks: StepConfig = field(default_factory=StepConfig)
    """Requests for new tasks; in Self-Instruct for their instructions alone."""
    classification: StepConfig | None = None
    """Requests that ask whether an instruction is classification; null: the method has one step."""
    output_first: StepConfig | None = None
    """Requests for instances of classification: a label, then an input for it."""
    input_first: StepConfig | None = None
    """Requests for instances of all other instructions."""

    @property
    def has_one_step(self) -> bool:
        """Whether a reply holds whole tasks (Alpaca)."""
        return self.classification is None

    def problems(self) -> list[Problem]:
        """What is wrong with the values, whatever the rest of the config says."""
        at_least = {
            "num_seed_examples": (self.num_seed_examples, 1),
            "num_pool_examples": (self.num_pool_examples, 0),
            "tasks_per_request": (self.tasks_per_request, 1),
            "max_example_words": (self.max_example_words, 1),
            "max_instances": (self.max_instances, 1),
        }
        found = [
            Problem(f"method.{key}", value, f"must be at least {low}", "raise it")
            for key, (value, low) in at_least.items()
            if value is not None and value < low
        ]
        later = ("classification", "output_first", "input_first")
        for name in ("tasks", *later):
            step = getattr(self, name)
            found.extend(step.problems(f"method.{name}") if step is not None else ())
        absent = [name for name in later if getattr(self, name) is None]
        if absent and len(absent) < len(later):
            key = ", ".join(f"method.{name}" for name in absent)
            remedy = "set all three (Self-Instruct) or none (one step)"
            found.append(Problem(key, None, "a step is missing", remedy))
        return found
