"""Config of the evaluation stage."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from eval.configs.geval import GEvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from eval.configs.humaneval import HumanEvalConfig
from pacos.benchmarks.catalogue import BENCHMARKS
from pacos.configs.cluster import ClusterConfig
from pacos.configs.judge import JudgeConfig
from pacos.configs.model import missing_template, template_problems
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.configs.tracking import TrackingConfig
from pacos.data.layout import LocationError
from pacos.data.location import locate
from pacos.errors import Problem
from pacos.files import sha256
from pacos.identity import FREE
from pacos.llm.config import EndpointConfig
from pacos.model.paths import exported_model, path_problem
from pacos.prompts.formats import PromptFormat

VLLM = "vllm"
"""Value of `serve` for vLLM with the run's settings (`eval.harness.served`)."""

ENDPOINT = "endpoint"
"""Value of `target` and `baseline` for the model behind `EvalConfig.endpoint`."""

HELDOUT = "heldout"
"""Folder of the held-out scores, next to the folders of suites."""


class Precision(Enum):
    """Dtype of the weights during evaluation."""

    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """Config of `pacos eval`."""

    STAGE: ClassVar[str] = "eval"

    run: RunConfig = field(default_factory=RunConfig)
    target: str = "???"
    """Model to evaluate: a model directory, a run of pacos sft, a hub id, `embedded:NAME`, or
    `endpoint` for the model behind a service."""
    baseline: str | None = None
    """Second model, evaluated on the same items and compared with the target; null for none."""
    endpoint: EndpointConfig | None = None
    """Service behind `target=endpoint` or `baseline=endpoint`. With `endpoint.api=completions` it
    continues texts, and scores choices if it returns log-probabilities of a prompt (echo), as vLLM
    does; with `chat` it only generates. Every reply is kept in eval/endpoint/ of the run, so none
    is paid for twice."""
    prompt_format: PromptFormat | None = None
    """Prompt format of conversations, for both models; null uses each model's own chat template.
    A format other than the one of training lowers the scores."""
    chat_template: str | None = None
    """Jinja file of a chat template for both models, with `prompt_format=null`."""
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    geval: GEvalConfig = field(default_factory=GEvalConfig)
    # Free because the scores of each judge lie in a folder of their own (judged_folder).
    judge: JudgeConfig = field(default_factory=JudgeConfig, metadata=FREE)
    """LLM that scores the answers of a suite with rubrics. With `judge=none` the answers are only
    written, for example on a compute node without a network; the same command with a judge scores
    them later."""
    heldout: str | None = None
    """JSONL file of rows that the models were not trained on. The token NLL of their answers is
    measured. Null for none."""
    training_data: str | None = None
    """The target's training data, in the form of data.path of pacos sft. Items of the suite that
    overlap with it are flagged, and the scores without them are given too. Null takes the data that
    the config of a pacos sft run names; the training data of other models are unknown."""
    humaneval: HumanEvalConfig = field(default_factory=HumanEvalConfig)
    """Settings of the task humaneval, for suites that contain it."""
    limit: int | None = None
    """Items per task, for a quick look; null for all. Scores of a limited run cannot be compared
    with those of a complete one."""
    # Batch sizes change scores by rounding only, and may have to shrink to fit in memory.
    batch_size: int = field(default=8, metadata=FREE)
    """Answers generated at the same time, and held-out rows per forward pass. A larger value is
    faster and needs more memory for keys and values."""
    batch_tokens: int = field(default=4096, metadata=FREE)
    """Tokens per forward pass when choices are scored. Raise it until the GPU's memory is used."""
    precision: Precision = Precision.fp32
    """Dtype of the weights. `bf16` halves the memory, but scores then depend slightly on the batch
    size."""
    # Free, so that a server that does not start can be given another option without another run.
    serve: str | None = field(default=None, metadata=FREE)
    """Command of a server that the run starts for each model in turn, on the GPUs of its machine or
    job, and asks as `target=endpoint` does: for models that no GPU holds, and for speed. `vllm`
    starts vLLM with `precision` and `batch_tokens` on `cluster.ranks_per_node` GPUs (`make
    setup-vllm`). A command of your own names `{model}`, the model's directory, and `{port}`. Null:
    the ranks load the models. In bf16 the scores differ slightly between the two."""
    gpus_per_model: int | None = field(default=None, metadata=FREE)
    """GPUs that a copy of a model is spread over, whole layers on each; they belong to neighbouring
    ranks, and one at a time computes. Null: the fewest whose memory holds the weights. More leave
    more memory for `batch_tokens` and `batch_size`, and fewer copies to share the work."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig, metadata=FREE)
    """Ranks that share the work, here or in a Slurm job. Scores do not depend on their number."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig, metadata=FREE)
    seed: int = 42
    """Seed of few-shot examples, sampled answers, and the bootstrap."""

    def subject(self) -> str:
        return self.suite.name

    def models(self) -> dict[str, str]:
        """Return the models by label, in the order in which they are measured."""
        given = {"baseline": self.baseline, "target": self.target}
        return {label: path for label, path in given.items() if path is not None}

    def adopt_files(self, typed: Collection[str]) -> None:
        """Take over nothing: the values of this stage stand in no file."""

    def problems(self) -> list[Problem]:
        at_least_one = {
            "batch_size": self.batch_size,
            "batch_tokens": self.batch_tokens,
            "limit": self.limit,
        }
        problems = [
            Problem(key, value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value is not None and value < 1
        ]
        problems += [*self.cluster.problems(), *self.suite.name_problems()]
        # comparison.json has a line named after each task, and one after the suite for all tasks.
        several = self.suite.tasks if len(self.suite.tasks) > 1 else []
        if self.suite.name in (HELDOUT, *several):
            fault = "names the score over all tasks, so it cannot be a task or heldout"
            problems.append(Problem("suite.name", self.suite.name, fault, "choose another name"))
        if self.suite.tasks and self.suite.rubrics:
            fault, remedy = "a suite has tasks or rubrics, not both", "make two suites"
            problems.append(Problem("suite.rubrics", self.suite.rubrics, fault, remedy))
        if self.judge.endpoint is not None and not self.suite.rubrics:
            fault = f"suite {self.suite.name} has no rubrics to judge by"
            remedy = "choose suite=geval, or judge=none"
            problems.append(Problem("judge", self.judge.endpoint.model, fault, remedy))
        if not self.suite.tasks and not self.suite.rubrics and self.heldout is None:
            remedy = "name tasks or rubrics of the suite, or a heldout file"
            problems.append(Problem("suite.tasks", "[]", "nothing to measure", remedy))
        if self.heldout and self.prompt_format is None and self.chat_template is None:
            remedy = "choose one of: " + ", ".join(member.name for member in PromptFormat)
            problems.append(Problem("prompt_format", None, "needed to score heldout", remedy))
        problems += template_problems("", self.prompt_format, self.chat_template)
        problems += [*self._endpoint_problems(), *self._placement_problems()]
        if HUMANEVAL in self.suite.tasks:
            problems += self.humaneval.problems()
            if self.suite.data_dir is None:
                fault = "needed for HumanEval's problems"
                remedy = "set it to the folder that holds humaneval/HumanEval.jsonl.gz"
                problems.append(Problem("suite.data_dir", None, fault, remedy))
        return [*problems, *self.geval.problems(), *self.judge.problems()]

    def _endpoint_problems(self) -> list[Problem]:
        """Return what the config asks of a service that it cannot do, or that nobody asks for."""
        labels = [label for label, path in self.models().items() if path == ENDPOINT]
        service = self.endpoint
        if service is None:
            remedy = "choose endpoint=local, with endpoint.url and endpoint.model, or openai, azure"
            return [Problem(label, ENDPOINT, "no endpoint is set", remedy) for label in labels]
        problems = service.problems()
        if not labels:
            remedy = "set target=endpoint or baseline=endpoint, or remove endpoint"
            problems.append(Problem("endpoint", service.model, "neither model uses it", remedy))
        if self.heldout is not None:
            fault, remedy = "needs a model's weights, which a service hides", "use heldout=null"
            problems.append(Problem("heldout", self.heldout, fault, remedy))
        if not service.api.takes_messages and (self.suite.chat_template or self.suite.rubrics):
            fault = f"suite {self.suite.name} sends conversations, which this api does not accept"
            remedy = "use endpoint.api=chat, or suite.chat_template=false"
            problems.append(Problem("endpoint.api", service.api.name, fault, remedy))
        return problems

    def _placement_problems(self) -> list[Problem]:
        """Return what is wrong with the server beside the run, or with the GPUs of a copy."""
        ranks, each = self.cluster.ranks_per_node, self.gpus_per_model
        if self.serve is None:
            if each is None or 1 <= each <= ranks:
                return []
            fault = f"must be from 1 to cluster.ranks_per_node = {ranks}"
            return [Problem("gpus_per_model", each, fault, "choose one in range, or null")]
        problems = []
        missing = [word for word in ("{model}", "{port}") if word not in self.serve]
        if missing and self.serve != VLLM:
            fault, remedy = f"lacks {' and '.join(missing)}", "add it, or use serve=vllm"
            problems.append(Problem("serve", self.serve, fault, remedy))
        if self.cluster.nodes > 1:
            fault, remedy = "serve runs one server, on one machine", "set it to 1, or serve=null"
            problems.append(Problem("cluster.nodes", self.cluster.nodes, fault, remedy))
        if self.heldout is not None:
            fault = "needs a model's weights, which serve hides"
            remedy = "use heldout=null, in a pipeline selfinstruct.seeds.heldout=0, or serve=null"
            problems.append(Problem("heldout", self.heldout, fault, remedy))
        return problems

    def world_size(self) -> int:
        """Return the number of ranks to start: one beside a server, which has the GPUs."""
        return 1 if self.serve is not None else self.cluster.world_size()

    def missing_files(self) -> list[Problem]:
        problems: list[Problem | None] = [*missing_template("", self.chat_template)]
        for label, path in self.models().items():
            if path != ENDPOINT and exported_model(path) is None:
                problems.append(path_problem(label, path))
        if self.endpoint is not None:
            problems.append(self.endpoint.missing_key())
        if self.heldout is not None and not Path(self.heldout).expanduser().is_file():
            remedy = "give a JSONL file of rows"
            problems.append(Problem("heldout", self.heldout, "no such file", remedy))
        folder, data = self.suite.directory(), self.suite.data_folder()
        if data is not None and not data.is_dir():
            remedy = "give the folder of the benchmarks' files, or null to load rows from the hub"
            problems.append(
                Problem("suite.data_dir", self.suite.data_dir, "no such folder", remedy)
            )
        if self.training_data is not None:
            try:
                locate(self.training_data)
            except LocationError as error:
                problems.append(
                    Problem("training_data", self.training_data, error.fault, error.remedy)
                )
        if HUMANEVAL in self.suite.tasks:
            problems += self._missing_problems()
        own = self.suite.folder is not None and not self.suite.folder.startswith("shipped:")
        if own and not folder.is_dir():
            remedy = "give a folder of YAML files, or null"
            problems.append(Problem("suite.folder", self.suite.folder, "no such folder", remedy))
        problems += self.geval.missing_files(self.suite)
        # The judge's key is checked here, before hours of generating answers for it.
        problems.append(self.judge.missing_key())
        return [problem for problem in problems if problem is not None]

    def _missing_problems(self) -> list[Problem]:
        """Return a problem if HumanEval's file is absent."""
        folder, benchmark = self.suite.data_folder(), BENCHMARKS[HUMANEVAL]
        if folder is None or not folder.is_dir() or benchmark.files(folder):
            return []
        fault = f"no file {folder / benchmark.pattern}"
        return [Problem("suite.data_dir", self.suite.data_dir, fault, "put it there")]

    def judged_folder(self, evaluation: Path) -> Path | None:
        """Return the folder of the judge's scores below a run's eval/; None without a judge.

        The name has a hash of the endpoint and of everything that changes its scores, so another
        judge or another way of asking gets another folder.
        """
        endpoint, geval = self.judge.endpoint, self.geval
        if endpoint is None:
            return None
        rated = {name: sha256(path) for name, path in geval.rated_files().items()}
        settings = [geval.scoring.name, geval.samples, geval.reply_tokens, sorted(rated.items())]
        facts = json.dumps([endpoint.url, endpoint.model, endpoint.api.name, settings])
        name = re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.model).strip("-.")
        digest = hashlib.sha256(facts.encode()).hexdigest()[:8]
        return evaluation / self.suite.name / f"judge-{name}-{digest}"

    def lacks_answers(self, evaluation: Path) -> bool:
        """Return True if a model still has to be run. `evaluation` is a run's eval/ folder."""
        has_suite = self.suite.tasks or self.suite.rubrics
        parts = [*([self.suite.name] if has_suite else []), *([HELDOUT] if self.heldout else [])]
        folders = [evaluation / part / label for part in parts for label in self.models()]
        return not all(folder.is_dir() for folder in folders)

    def lacks_verdicts(self, evaluation: Path) -> bool:
        """Return True if the config's judge has not scored a finished run yet."""
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
