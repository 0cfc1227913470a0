"""Config of the data generation stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from pacos.configs.judge import JudgeConfig
from pacos.configs.shared import ClusterConfig, RunConfig, TrackingConfig
from pacos.configs.suite import SuiteConfig
from pacos.errors import Problem
from pacos.llm.config import EndpointConfig
from pacos.model.paths import path_problem
from pacos.text.words import WordRule
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.configs.method import MethodConfig

SHIPPED_SEEDS = Path(__file__).parent / "seeds"
"""Folder of the seed pools that come with pacos, one file a language."""

LOWEST, HIGHEST = 1, 10
"""Of the judge's scores for quality."""


@dataclass(kw_only=True, slots=True)
class SeedsConfig:
    """The human-written tasks that everything grows from."""

    path: str | None = None
    """A JSONL file in Self-Instruct's schema; null takes the shipped seeds of each language."""
    heldout: int = 0
    """Seeds kept out of prompts and of the data set, to measure the trained model on."""
    terms: str = "unstated (seeds of the user)"
    """Licence of the file at `path`, recorded with every row."""


@dataclass(kw_only=True, slots=True)
class FilterConfig:
    """What a generated task must be to enter the pool."""

    max_similarity: float = 0.7
    """ROUGE-L F above which an instruction is too close to one in the pool (both papers: 0.7)."""
    words: WordRule = WordRule.unicode
    """What ROUGE-L compares: `unicode` takes words of any script as they are written, `kiwi` cuts
    Korean ones into morphemes, without particles (extra `ko`)."""
    min_words: int = 4
    """Shortest instruction, in words (both papers drop up to 3)."""
    max_words: int = 150
    """Longest instruction, in words (both papers)."""
    min_quality: int = 6
    """Lowest score of the judge, of 1 to 10, that a row may have: 6 is useful with a small
    omission."""
    judged_safety: bool = True
    """Whether the judge is asked for safety too, in a request of its own."""


class Lang(Enum):
    """Languages of the tasks."""

    en = "en"
    ko = "ko"
    en_ko = "en_ko"


@dataclass(kw_only=True, slots=True)
class SelfInstructConfig:
    """Everything that `pacos selfinstruct` needs to know."""

    STAGE: ClassVar[str] = "selfinstruct"
    FREE: ClassVar[tuple[str, ...]] = (
        "cluster",
        "tracking",
        "pilot",
        "max_fruitless",
        "generator.batch_size",
        "generator.serve",
        *(f"{who}.endpoint.{key}" for who in ("generator", "judge") for key in EndpointConfig.FREE),
    )

    run: RunConfig = field(default_factory=RunConfig)
    lang: Lang = Lang.en
    """Language of the tasks; `en_ko` alternates, a request English and the next Korean."""
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    """What will judge the trained model: no row may give away an item of its benchmarks."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """Where it runs: here, or as a Slurm job."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    target_rows: int = 52000
    """Generated rows to accept; then the run is done."""
    max_requests: int = 100000
    """Requests for tasks after which the run ends with what it has, so that a bad teacher cannot
    loop."""
    max_fruitless: int = 200
    """Requests in a row without a new row after which the run stops with the reason, so that money
    is not spent on a teacher or a filter that is set wrongly."""
    window: int = 64
    """Requests for tasks under way at once, fewer towards the end. A prompt shows generated tasks
    as the pool was this many requests before, so that a run comes to the same rows whatever was
    slow. A batch of the Batch API holds no more: thousands are right there."""
    pilot: int | None = None
    """Rows after which the run stops to be looked at, with its yield and what the whole will cost;
    the same command without it goes on. Null: the whole run."""
    seed: int = 42
    """Seed of every draw: held-out seeds, examples in prompts, sampling."""

    def subject(self) -> str:
        return self.method.name

    def languages(self) -> tuple[str, ...]:
        """Codes of the languages, in the order in which requests take them."""
        return tuple(self.lang.value.split("_"))

    def rows_wanted(self) -> int:
        """Rows after which this life ends."""
        return self.target_rows if self.pilot is None else min(self.pilot, self.target_rows)

    def seed_files(self) -> dict[str, Path]:
        """The seed files by language; a user's own file is the same for all."""
        own = self.seeds.path
        return {
            lang: SHIPPED_SEEDS / f"{lang}.jsonl" if own is None else Path(own).expanduser()
            for lang in self.languages()
        }

    def problems(self) -> list[Problem]:
        at_least = {
            "seeds.heldout": (self.seeds.heldout, 0),
            "filters.min_words": (self.filters.min_words, 1),
            "filters.max_words": (self.filters.max_words, self.filters.min_words),
            "target_rows": (self.target_rows, 1),
            "max_requests": (self.max_requests, 1),
            "max_fruitless": (self.max_fruitless, 1),
            "window": (self.window, 1),
            "pilot": (self.pilot, 1),
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
        if not LOWEST <= self.filters.min_quality <= HIGHEST:
            value, what = self.filters.min_quality, f"scores go from {LOWEST} to {HIGHEST}"
            found.append(Problem("filters.min_quality", value, what, "choose one of them"))
        if self.method.as_conversations and self.generator.prompt_format is None:
            what = "needs a local generator with a prompt_format"
            remedy = "choose generator=local, or another method"
            found.append(Problem("method.as_conversations", True, what, remedy))
        return [
            *found,
            *self.method.problems(),
            *self.generator.problems(),
            *self.judge.problems(),
            *self.cluster.problems(),
            *self._cluster_problems(),
            *self.suite.benchmark_problems(),
        ]

    def _cluster_problems(self) -> list[Problem]:
        """One process on one machine, whose GPUs are for a server beside it."""
        most_ranks = 1 if self.generator.serve is None else self.cluster.ranks_per_node
        return [
            Problem(f"cluster.{key}", value, "this stage runs in one process", "set it to 1")
            for key, most in (("nodes", 1), ("ranks_per_node", most_ranks))
            if (value := getattr(self.cluster, key)) > most
        ]

    def missing_files(self) -> list[Problem]:
        found = []
        for lang, path in self.seed_files().items():
            if not path.is_file():
                remedy = "give the path of a JSONL file of seed tasks, or null for the shipped ones"
                value = self.seeds.path or lang
                found.append(Problem("seeds.path", value, "no such seed file", remedy))
        endpoint = self.generator.endpoint
        keys = [self.judge.missing_key()]
        if endpoint is not None:
            keys.append(endpoint.missing_key("generator.endpoint"))
        found.extend(key for key in keys if key is not None)
        if self.generator.model is not None:
            model = path_problem("generator.model", self.generator.model)
            found.extend([model] if model else [])
        return [*found, *self.suite.missing_benchmark_files()]


SCHEMAS = {
    "selfinstruct_schema": SelfInstructConfig,
    "method/schema": MethodConfig,
    "generator/schema": GeneratorConfig,
    "endpoint/schema": EndpointConfig,
    "judge/schema": JudgeConfig,
    "suite/schema": SuiteConfig,
    "cluster/schema": ClusterConfig,
    "tracking/schema": TrackingConfig,
}
