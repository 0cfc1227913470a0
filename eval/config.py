"""Config of the evaluation stage."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from eval.configs.geval import GEvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from eval.configs.humaneval import HumanEvalConfig
from pacos.benchmarks.catalogue import BENCHMARKS
from pacos.configs.judge import JudgeConfig
from pacos.configs.shared import ClusterConfig, RunConfig, TrackingConfig
from pacos.configs.suite import SuiteConfig
from pacos.data.location import REMEDY, locate
from pacos.errors import Problem, UserError
from pacos.files import sha256
from pacos.llm.config import EndpointConfig
from pacos.model.formats import PromptFormat
from pacos.model.paths import exported_model, path_problem

ENDPOINT = "endpoint"
"""What `target` and `baseline` say for the model behind `EvalConfig.endpoint`."""

HELDOUT = "heldout"
"""Folder of the held-out scores, beside those of suites."""


class Precision(Enum):
    """Number format of the weights while they are evaluated."""

    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """Everything that `pacos eval` needs to know."""

    STAGE: ClassVar[str] = "eval"
    FREE: ClassVar[tuple[str, ...]] = (
        "cluster",
        "tracking",
        "batch_size",
        "batch_tokens",
        "humaneval.sandbox.workers",
        "judge",
        *(f"endpoint.{key}" for key in EndpointConfig.FREE),
        *(f"geval.{key}" for key in GEvalConfig.FREE),
    )

    run: RunConfig = field(default_factory=RunConfig)
    target: str = "???"
    """Model to judge: a model directory, a run of pacos sft, a hub id, `embedded:NAME`, or
    `endpoint` for the one that a service answers for."""
    baseline: str | None = None
    """A second model, judged on the same items and compared with; null for none."""
    endpoint: EndpointConfig | None = None
    """The service behind `target=endpoint`. With `endpoint.api=completions` it continues texts, and
    scores choices where it gives log-probabilities of a prompt (echo), as vLLM does; with `chat` it
    only answers. Its ledger is eval/endpoint/ of the run: nothing is bought twice."""
    prompt_format: PromptFormat | None = None
    """How conversations are written out for both models; null takes the model's chat template."""
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    geval: GEvalConfig = field(default_factory=GEvalConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """Who scores the answers of a suite with rubrics. With `judge=none` they are only written, as
    on a compute node without a network; the same command with a judge goes on from there."""
    heldout: str | None = None
    """JSONL file of rows that no training saw, whose answers' token NLL is measured; null: none."""
    training_data: str | None = None
    """What the target was trained on, as data.path of pacos sft takes it: items of the suite that
    it gives away are flagged, and scores given without them. Null: of a run of pacos sft, the data
    that its config names; of other models nothing is known."""
    humaneval: HumanEvalConfig = field(default_factory=HumanEvalConfig)
    """How the task humaneval is done, where a suite has it."""
    limit: int | None = None
    """Items a task, for a quick look; null takes all. A limited score is not comparable."""
    batch_size: int = 8
    """Answers that are generated at the same time, and held-out rows a forward pass."""
    batch_tokens: int = 4096
    """Tokens a forward pass where choices are scored. Raise it until the GPU's memory is used."""
    precision: Precision = Precision.fp32
    """`bf16` halves memory; scores then depend a little on the batch size."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """Ranks that divide the work, here or as a Slurm job; scores are the same on any number."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 42
    """Seed of few-shot draws and of the bootstrap."""

    def subject(self) -> str:
        return self.suite.name

    def models(self) -> dict[str, str]:
        """The models under their labels, in the order in which they are measured."""
        given = {"baseline": self.baseline, "target": self.target}
        return {label: path for label, path in given.items() if path is not None}

    def problems(self) -> list[Problem]:
        at_least_one = {
            "batch_size": self.batch_size,
            "batch_tokens": self.batch_tokens,
            "limit": self.limit,
        }
        found = [
            Problem(key, value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value is not None and value < 1
        ]
        found += [*self.cluster.problems(), *self.suite.name_problems()]
        several = self.suite.tasks if len(self.suite.tasks) > 1 else []
        if self.suite.name in (HELDOUT, *several):
            what = "stands for all tasks together, so it must be neither a task nor heldout"
            found.append(Problem("suite.name", self.suite.name, what, "choose another name"))
        if self.suite.tasks and self.suite.rubrics:
            what, remedy = "a suite has tasks or rubrics, not both", "make two suites"
            found.append(Problem("suite.rubrics", self.suite.rubrics, what, remedy))
        if self.judge.endpoint is not None and not self.suite.rubrics:
            what = f"suite {self.suite.name} has no rubrics to judge by"
            remedy = "choose suite=geval, or judge=none"
            found.append(Problem("judge", self.judge.endpoint.model, what, remedy))
        if not self.suite.tasks and not self.suite.rubrics and self.heldout is None:
            remedy = "name tasks or rubrics of the suite, or a heldout file"
            found.append(Problem("suite.tasks", "[]", "nothing to measure", remedy))
        if self.heldout is not None and self.prompt_format is None:
            remedy = "choose one of: " + ", ".join(member.name for member in PromptFormat)
            found.append(Problem("prompt_format", None, "needed to score heldout", remedy))
        found += self._endpoint_problems()
        if HUMANEVAL in self.suite.tasks:
            found += self.humaneval.problems()
            if self.suite.data_dir is None:
                what = "needed for HumanEval's problems"
                remedy = "set it to the folder that holds humaneval/HumanEval.jsonl.gz"
                found.append(Problem("suite.data_dir", None, what, remedy))
        return [*found, *self.geval.problems(), *self.judge.problems()]

    def _endpoint_problems(self) -> list[Problem]:
        """What is wrong with asking a service instead of loading a model."""
        labels = [label for label, path in self.models().items() if path == ENDPOINT]
        service = self.endpoint
        if service is None:
            remedy = "choose endpoint=local, with endpoint.url and endpoint.model, or openai, azure"
            return [Problem(one, ENDPOINT, "names no service", remedy) for one in labels]
        found = service.problems()
        if not labels:
            remedy = "write target=endpoint or baseline=endpoint, or leave endpoint out"
            found.append(Problem("endpoint", service.model, "is asked by nobody", remedy))
        if self.heldout is not None:
            what, remedy = "needs the weights, which a service keeps to itself", "use heldout=null"
            found.append(Problem("heldout", self.heldout, what, remedy))
        if not service.api.takes_messages and (self.suite.chat_template or self.suite.rubrics):
            what = f"suite {self.suite.name} holds conversations, which this api does not take"
            remedy = "use endpoint.api=chat, or suite.chat_template=false"
            found.append(Problem("endpoint.api", service.api.name, what, remedy))
        return found

    def missing_files(self) -> list[Problem]:
        found = []
        for label, path in self.models().items():
            if path != ENDPOINT and exported_model(path) is None:
                found.append(path_problem(label, path))
        if self.endpoint is not None:
            found.append(self.endpoint.missing_key())
        if self.heldout is not None and not Path(self.heldout).expanduser().is_file():
            found.append(Problem("heldout", self.heldout, "no such file", "give a JSONL of rows"))
        folder, data = self.suite.directory(), self.suite.data_folder()
        if data is not None and not data.is_dir():
            remedy = "give the folder of the benchmarks' files, or null to take rows from the hub"
            found.append(Problem("suite.data_dir", self.suite.data_dir, "no such folder", remedy))
        if self.training_data is not None:
            try:
                locate(self.training_data)
            except UserError as error:
                found.append(Problem("training_data", self.training_data, str(error), REMEDY))
        if HUMANEVAL in self.suite.tasks:
            found += self._missing_problems()
        own = self.suite.folder is not None and not self.suite.folder.startswith("shipped:")
        if own and not folder.is_dir():
            remedy = "give a folder of YAML files, or null"
            found.append(Problem("suite.folder", self.suite.folder, "no such folder", remedy))
        found += self.geval.missing_files(self.suite)
        # Before answers are written, which can take hours.
        found.append(self.judge.missing_key())
        return [problem for problem in found if problem is not None]

    def _missing_problems(self) -> list[Problem]:
        """HumanEval's file, if it is not there."""
        folder, benchmark = self.suite.data_folder(), BENCHMARKS[HUMANEVAL]
        if folder is None or not folder.is_dir() or benchmark.files(folder):
            return []
        what = f"no file {folder / benchmark.pattern}"
        return [Problem("suite.data_dir", self.suite.data_dir, what, "put it there")]

    def judged_folder(self, evaluation: Path) -> Path | None:
        """Where the judge's verdicts are, below a run's eval/; None without a judge.

        Another judge, or the same asked otherwise, has a folder of its own.
        """
        endpoint, geval = self.judge.endpoint, self.geval
        if endpoint is None:
            return None
        rated = {name: sha256(path) for name, path in geval.rated_files().items()}
        asked = [geval.scoring.name, geval.samples, geval.reply_tokens, sorted(rated.items())]
        facts = json.dumps([endpoint.url, endpoint.model, endpoint.api.name, asked])
        name = re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.model).strip("-.")
        digest = hashlib.sha256(facts.encode()).hexdigest()[:8]
        return evaluation / self.suite.name / f"judge-{name}-{digest}"

    def lacks_answers(self, evaluation: Path) -> bool:
        """Whether a model has still to be run for what is below a run's eval/."""
        has_suite = self.suite.tasks or self.suite.rubrics
        parts = [*([self.suite.name] if has_suite else []), *([HELDOUT] if self.heldout else [])]
        folders = [evaluation / part / label for part in parts for label in self.models()]
        return not all(folder.is_dir() for folder in folders)

    def lacks_verdicts(self, evaluation: Path) -> bool:
        """Whether this config's judge has still to be asked about a run that is done."""
        folder = self.judged_folder(evaluation)
        return folder is not None and not folder.is_dir()


SCHEMAS = {
    "eval_schema": EvalConfig,
    "suite/schema": SuiteConfig,
    "cluster/schema": ClusterConfig,
    "endpoint/schema": EndpointConfig,
    "judge/schema": JudgeConfig,
    "tracking/schema": TrackingConfig,
}
