"""Root config of the data generation stage."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from pacos.configs.cluster import ClusterConfig
from pacos.configs.judge import JudgeConfig
from pacos.configs.license import LicensePolicy, WaiverConfig, license_problems
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.configs.tracking import TrackingConfig
from pacos.errors import Problem
from pacos.identity import FREE
from pacos.llm.config import EndpointConfig
from pacos.model.paths import path_problem
from pacos.terms.catalogue import UNKNOWN
from pacos.terms.combine import PACOS, Input, Role
from pacos.text.words import WordRule
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.configs.method import MethodConfig

SHIPPED_SEEDS = Path(__file__).parent / "seeds"
"""Folder of the seed tasks that ship with pacos, one file per language."""
SHIPPED_TERMS = "apache-2.0"

LOWEST, HIGHEST = 1, 10
"""Range of the LLM judge's quality scores."""


@dataclass(kw_only=True, slots=True)
class SeedsConfig:
    """The human-written tasks that the data set grows from."""

    path: str | None = None
    """JSONL file of seed tasks in Self-Instruct's schema. Null: the shipped seeds."""
    heldout: int = 0
    """Seeds kept out of prompts and out of the data set, to evaluate the trained model on."""
    terms: str = UNKNOWN
    """Licence of the file at `path`, stored with every seed row: an id of docs/licences.md, such as
    `own` for your own work."""

    def source_terms(self) -> str:
        """Return the licence of the seeds: ours for the shipped ones, else `terms`."""
        return SHIPPED_TERMS if self.path is None else self.terms


@dataclass(kw_only=True, slots=True)
class FilterConfig:
    """Limits that a generated task must keep to enter the pool."""

    max_similarity: float = 0.7
    """ROUGE-L F above which an instruction is too close to one in the pool (both papers: 0.7). A
    lower value gives more diverse rows and takes more requests."""
    words: WordRule = WordRule.unicode
    """Words that ROUGE-L compares: `unicode` takes words of any script as written; `kiwi` splits
    Korean into morphemes and drops particles (needs the extra `ko`)."""
    min_words: int = 4
    """Shortest instruction, in words (both papers drop those of up to 3)."""
    max_words: int = 150
    """Longest instruction, in words (both papers)."""
    min_quality: int = 6
    """Lowest quality score kept, 1 to 10. 6 is a useful row with a small omission. No effect
    without a judge."""
    judged_safety: bool = True
    """Ask the judge about safety too, in a second request per row. No effect without a judge."""


class Lang(Enum):
    """Languages of the tasks."""

    en = "en"
    ko = "ko"
    en_ko = "en_ko"


@dataclass(kw_only=True, slots=True)
class SelfInstructConfig:
    """Everything that `pacos selfinstruct` needs to know."""

    STAGE: ClassVar[str] = "selfinstruct"

    # Free are the fields that do not change the rows.
    run: RunConfig = field(default_factory=RunConfig)
    lang: Lang = Lang.en
    """Language of the tasks; with `en_ko` English and Korean alternate from request to request."""
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    """Benchmarks that the trained model will be evaluated on: no row may give away one of their
    items."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig, metadata=FREE)
    """Place of the run: this machine, or a Slurm job."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig, metadata=FREE)
    license_policy: LicensePolicy = field(default=LicensePolicy.research, metadata=FREE)
    """Use that the licences of seeds and outputs must permit: `research`, `commercial`, or
    `none` to check nothing. This is no legal advice (docs/licences.md)."""
    license_waiver: WaiverConfig = field(default_factory=WaiverConfig, metadata=FREE)
    target_rows: int = 52000
    """Generated rows after which the run is done."""
    max_requests: int = 100000
    """Requests for tasks after which the run ends with the rows it has: the limit of a generator
    with a low yield."""
    max_fruitless: int = field(default=200, metadata=FREE)
    """Consecutive requests without a new row after which the run fails and names the most common
    rejections. Saves money when a generator or a filter is set wrongly."""
    window: int = 64
    """Requests for tasks in flight, fewer towards the end. A prompt shows the pool as it was this
    many requests earlier, so the value changes the rows. It also limits a batch of the Batch API,
    where thousands are right."""
    pilot: int | None = field(default=None, metadata=FREE)
    """Rows after which the run stops for inspection and quotes the cost of the whole. The same
    command without `pilot` continues it. Null: no stop."""
    seed: int = 42
    """Seed of every random draw: held-out seeds, examples in prompts, sampling."""

    def subject(self) -> str:
        """Return the part of the default run name that says what the run is about."""
        return self.method.name

    def languages(self) -> tuple[str, ...]:
        """Return the language codes, in the order in which requests use them."""
        return tuple(self.lang.value.split("_"))

    def rows_wanted(self) -> int:
        """Return the number of generated rows after which this life ends."""
        return self.target_rows if self.pilot is None else min(self.pilot, self.target_rows)

    def seed_files(self) -> dict[str, Path]:
        """Return the seed files by language; a user's file serves every language."""
        own = self.seeds.path
        return {
            lang: SHIPPED_SEEDS / f"{lang}.jsonl" if own is None else Path(own).expanduser()
            for lang in self.languages()
        }

    def adopt_files(self, typed: Collection[str]) -> None:
        """Take over nothing: the values of this stage stand in no file."""

    def problems(self) -> list[Problem]:
        """Return every problem of the values, without touching files or the network."""
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
        problems = [
            Problem(key, value, f"must be at least {low}", "raise it")
            for key, (value, low) in at_least.items()
            if value is not None and value < low
        ]
        if not 0 < self.filters.max_similarity <= 1:
            value = self.filters.max_similarity
            fault = "must be in (0, 1]"
            problems.append(Problem("filters.max_similarity", value, fault, "both papers use 0.7"))
        if not LOWEST <= self.filters.min_quality <= HIGHEST:
            value, fault = self.filters.min_quality, f"must be from {LOWEST} to {HIGHEST}"
            problems.append(Problem("filters.min_quality", value, fault, "choose a score in range"))
        if self.method.as_conversations and self.generator.prompt_format is None:
            fault = "needs a local generator with a prompt_format"
            remedy = "choose generator=local, or another method"
            problems.append(Problem("method.as_conversations", True, fault, remedy))
        return [
            *problems,
            *self.method.problems(),
            *self.generator.problems(),
            *self.judge.problems(),
            *self.cluster.problems(),
            *self._cluster_problems(),
            *self.suite.benchmark_problems(),
            *license_problems(self.stated_inputs(), self.license_policy, self.license_waiver),
        ]

    def stated_inputs(self) -> list[Input]:
        """Return the works that the rows are made from."""
        seeds = self.seeds.path or "seeds of pacos"
        return [
            Input(Role.data, seeds, self.seeds.source_terms(), "seeds.terms"),
            Input(Role.teacher, self.generator.name, self.generator.terms, "generator.terms"),
            PACOS,
        ]

    def _cluster_problems(self) -> list[Problem]:
        """Refuse more than one process; a rank beyond the first is a GPU for a server beside it."""
        most_ranks = 1 if self.generator.serve is None else self.cluster.ranks_per_node
        return [
            Problem(f"cluster.{key}", value, "this stage runs in one process", "set it to 1")
            for key, most in (("nodes", 1), ("ranks_per_node", most_ranks))
            if (value := getattr(self.cluster, key)) > most
        ]

    def missing_files(self) -> list[Problem]:
        """Return the files, models and API keys that the config names and this machine lacks."""
        problems = []
        for lang, path in self.seed_files().items():
            if not path.is_file():
                remedy = "give the path of a JSONL file of seed tasks, or null for the shipped ones"
                value = self.seeds.path or lang
                problems.append(Problem("seeds.path", value, "no such seed file", remedy))
        endpoint = self.generator.endpoint
        keys = [self.judge.missing_key()]
        if endpoint is not None:
            keys.append(endpoint.missing_key("generator.endpoint"))
        problems.extend(key for key in keys if key is not None)
        if self.generator.model is not None:
            model = path_problem("generator.model", self.generator.model)
            problems.extend([model] if model else [])
        return [*problems, *self.suite.missing_benchmark_files()]


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
