"""Config of the data generation stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pacos.config import PromptFormat, RunConfig, TrackingConfig
from pacos.errors import Problem
from pacos.model_paths import path_problem

SHIPPED_SEEDS = Path(__file__).parent / "seeds"
"""Folder of the seed pools that come with pacos, one file a language."""


@dataclass(kw_only=True, slots=True)
class SeedsConfig:
    """The human-written tasks that everything grows from."""

    path: str = "en"
    """`en` is the shipped pool; otherwise a JSONL file in Self-Instruct's schema."""
    heldout: int = 0
    """Seeds kept out of prompts and of the data set, to measure the trained model on."""

    def file(self) -> Path:
        """The seed file."""
        return self._shipped_file() if self.is_shipped() else Path(self.path).expanduser()

    def is_shipped(self) -> bool:
        """Whether the seeds are those that come with pacos, under its licence."""
        return self._shipped_file().is_file()

    def _shipped_file(self) -> Path:
        return SHIPPED_SEEDS / f"{self.path}.jsonl"


@dataclass(kw_only=True, slots=True)
class MethodConfig:
    """How the teacher is asked for new tasks."""

    name: str = "???"
    """Name of the method, used in names of runs."""
    num_seed_examples: int = 3
    """Seed tasks shown in each prompt (Alpaca: 3)."""
    max_example_words: int | None = None
    """Longest seed task shown, its three texts together; short ones make a prompt cheap. Null: all
    are shown."""
    openers: list[str] = field(default_factory=list)
    """First words of the new instruction, one of them a request in turn: they give a small model
    the variety that it does not find by itself. Empty: the teacher writes the first word."""
    tasks_per_request: int = 16
    """Tasks after which a completion ends (Alpaca: 16)."""
    max_tokens: int = 3072
    """Longest completion, in tokens; one that is cut there loses its last task."""
    temperature: float = 1.0
    """Sampling temperature (Alpaca: 1.0)."""
    top_p: float = 1.0
    """Nucleus of the sampling (Alpaca: 1.0)."""


@dataclass(kw_only=True, slots=True)
class GeneratorConfig:
    """The teacher: the language model that writes the tasks."""

    name: str = "???"
    """Name of the generator, recorded with every row."""
    model: str = "???"
    """Model directory, hub id or `embedded:NAME`, run by transformers in this process."""
    terms: str = "???"
    """Licence or terms of the teacher's outputs, recorded with every row."""
    prompt_format: PromptFormat | None = None
    """Chat format of the teacher: tasks are written out as conversations. Null: as labelled blocks,
    which a base model can continue."""
    batch_size: int = 16
    """Completions made side by side."""


@dataclass(kw_only=True, slots=True)
class FilterConfig:
    """What a generated task must be to enter the pool."""

    max_similarity: float = 0.7
    """ROUGE-L F above which an instruction is too close to one in the pool (both papers: 0.7)."""
    min_words: int = 4
    """Shortest instruction, in words (both papers drop up to 3)."""
    max_words: int = 150
    """Longest instruction, in words (both papers)."""


@dataclass(kw_only=True, slots=True)
class SelfInstructConfig:
    """Everything that `pacos selfinstruct` needs to know."""

    STAGE: ClassVar[str] = "selfinstruct"
    FREE: ClassVar[tuple[str, ...]] = ("tracking",)

    run: RunConfig = field(default_factory=RunConfig)
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    target_rows: int = 52000
    """Generated rows to accept; then the run is done."""
    max_requests: int = 100000
    """Completions after which the run ends with what it has, so that a bad teacher cannot loop."""
    seed: int = 42
    """Seed of every draw: held-out seeds, examples in prompts, sampling."""

    def subject(self) -> str:
        return self.method.name

    def problems(self) -> list[Problem]:
        at_least = {
            "seeds.heldout": (self.seeds.heldout, 0),
            "method.num_seed_examples": (self.method.num_seed_examples, 1),
            "method.max_example_words": (self.method.max_example_words, 1),
            "method.tasks_per_request": (self.method.tasks_per_request, 1),
            "method.max_tokens": (self.method.max_tokens, 1),
            "generator.batch_size": (self.generator.batch_size, 1),
            "filters.min_words": (self.filters.min_words, 1),
            "filters.max_words": (self.filters.max_words, self.filters.min_words),
            "target_rows": (self.target_rows, 1),
            "max_requests": (self.max_requests, 1),
        }
        found = [
            Problem(key, value, f"must be at least {low}", "raise it")
            for key, (value, low) in at_least.items()
            if value is not None and value < low
        ]
        if not 0 < self.filters.max_similarity <= 1:
            value = self.filters.max_similarity
            found.append(
                Problem("filters.max_similarity", value, "is a share", "choose one in (0, 1]")
            )
        if self.method.temperature <= 0 or not 0 < self.method.top_p <= 1:
            pair = f"{self.method.temperature}, {self.method.top_p}"
            remedy = "choose temperature > 0 and top_p in (0, 1]"
            found.append(Problem("method.temperature, method.top_p", pair, "no sampling", remedy))
        return found

    def missing_files(self) -> list[Problem]:
        found = []
        if not self.seeds.file().is_file():
            remedy = "use en, or the path of a JSONL file of seed tasks"
            found.append(Problem("seeds.path", self.seeds.path, "no such seed file", remedy))
        model = path_problem("generator.model", self.generator.model)
        return found + ([model] if model else [])


SCHEMAS = {
    "selfinstruct_schema": SelfInstructConfig,
    "method/schema": MethodConfig,
    "generator/schema": GeneratorConfig,
    "tracking/schema": TrackingConfig,
}
