"""The configs of all commands: one for each stage, and the pipeline's, which contains the three."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from eval.config import SCHEMAS as EVAL_SCHEMAS
from eval.config import EvalConfig
from pacos.configs.license import LicensePolicy, WaiverConfig, license_problems
from pacos.configs.stage import RunConfig, StageConfig
from pacos.errors import Problem
from pacos.identity import FREE
from pacos.run_paths import DataPaths, RunPaths
from pacos.terms.combine import Role
from selfinstruct.config import SCHEMAS as SELFINSTRUCT_SCHEMAS
from selfinstruct.config import SelfInstructConfig
from sft.config import SCHEMAS as SFT_SCHEMAS
from sft.config import SFTConfig


class Where(Enum):
    """The place where a part of a pipeline runs."""

    login = "login"
    job = "job"


@dataclass(kw_only=True, slots=True)
class WhereConfig:
    """The place of each part: `login` is the machine the command is typed on, `job` a Slurm job."""

    selfinstruct: Where | None = None
    """Data generation. Null: `login` if the generator is behind an API, else as
    `selfinstruct.cluster.launcher` says."""
    sft: Where | None = None
    """Training. Null: as `sft.cluster.launcher` says."""
    eval: Where | None = None
    """The part of the evaluation that runs models. Null: as `eval.cluster.launcher` says."""
    judge: Where | None = None
    """The part of the evaluation that asks the judge, which needs a network and no GPU. Null:
    `login`. If it differs from `eval`, models and judge run one after the other."""


@dataclass(kw_only=True, slots=True)
class PipelineConfig:
    """The config of `pacos pipeline`: those of the three stages, and the place of each part.

    `sft.data.path` and `eval.target` are set by the pipeline; values given for them are ignored.
    The stages take its license policy, too.
    """

    STAGE: ClassVar[str] = "pipeline"

    run: RunConfig = field(default_factory=RunConfig)
    selfinstruct: SelfInstructConfig = field(default_factory=SelfInstructConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    where: WhereConfig = field(default_factory=WhereConfig, metadata=FREE)
    license_policy: LicensePolicy = field(default=LicensePolicy.research, metadata=FREE)
    """Use that the licences of all seeds, outputs and weights must permit: `research`,
    `commercial`, or `none` to check nothing. This is no legal advice (docs/licences.md)."""
    license_waiver: WaiverConfig = field(default_factory=WaiverConfig, metadata=FREE)

    def subject(self) -> str:
        return self.sft.model.name

    def stages(self, run: Path) -> tuple[SelfInstructConfig, SFTConfig, EvalConfig]:
        """Return the config of each stage, reading what the stage before it wrote below `run`."""

        def folder(stage: type[StageConfig]) -> RunConfig:
            return RunConfig(name=stage.STAGE, root=str(run))

        policy, waiver = self.license_policy, self.license_waiver
        generation = RunPaths(run).stage(SelfInstructConfig.STAGE)
        heldout = DataPaths(generation.data).heldout if self.selfinstruct.seeds.heldout else None
        return (
            # Generation has to know the suite, whose items it keeps out of the data.
            dataclasses.replace(
                self.selfinstruct,
                run=folder(SelfInstructConfig),
                suite=self.eval.suite,
                license_policy=policy,
                license_waiver=waiver,
            ),
            dataclasses.replace(
                self.sft,
                run=folder(SFTConfig),
                license_policy=policy,
                license_waiver=waiver,
                data=dataclasses.replace(self.sft.data, path=str(generation.path)),
            ),
            dataclasses.replace(
                self.eval,
                run=folder(EvalConfig),
                target=str(run / SFTConfig.STAGE),
                baseline=self.sft.model.path,
                prompt_format=self.sft.model.prompt_format,
                chat_template=self.sft.model.chat_template,
                heldout=str(heldout) if heldout else None,
            ),
        )

    def adopt_files(self, typed: Collection[str]) -> None:
        self.sft.adopt_files([key.removeprefix("sft.") for key in typed if key.startswith("sft.")])

    def problems(self) -> list[Problem]:
        stages = self.stages(Path(self.run.root))
        problems = [
            dataclasses.replace(problem, key=f"{stage.STAGE}.{problem.key}")
            for stage in stages
            for problem in stage.problems()
        ]
        of_terms = self._license_problems()
        # The stages see only a part of the inputs, and all of the waiver.
        return [
            problem
            for problem in problems
            if problem not in of_terms and ".license_waiver." not in problem.key
        ] + of_terms

    def _license_problems(self) -> list[Problem]:
        own, remedy = self.license_policy, "set license_policy of the pipeline"
        fault = f"the pipeline has license_policy={own.name} for all its stages"
        others = [
            Problem(f"{stage.STAGE}.license_policy", stage.license_policy.name, fault, remedy)
            for stage in (self.selfinstruct, self.sft)
            if stage.license_policy not in (own, LicensePolicy.research)
        ]
        inputs = [
            dataclasses.replace(work, key=f"{stage.STAGE}.{work.key}")
            for stage in (self.selfinstruct, self.sft)
            for work in stage.stated_inputs()
            if work.role is not Role.code
        ]
        return others + license_problems(inputs, own, self.license_waiver)

    def missing_files(self) -> list[Problem]:
        """Return the problems of input files, except those that an earlier stage will write."""
        written_later = {"data.path", "target", "heldout"}
        return [
            dataclasses.replace(problem, key=f"{stage.STAGE}.{problem.key}")
            for stage in self.stages(Path(self.run.root))
            for problem in stage.missing_files()
            if problem.key not in written_later
        ]


SCHEMAS = {
    "pipeline_schema": PipelineConfig,
    "where/schema": WhereConfig,
    **SELFINSTRUCT_SCHEMAS,
    **SFT_SCHEMAS,
    **EVAL_SCHEMAS,
}

JobConfig = SelfInstructConfig | SFTConfig | EvalConfig
"""The config of a stage, which can run as one Slurm job."""
JOB_STAGES: dict[str, type[JobConfig]] = {
    schema.STAGE: schema for schema in (SelfInstructConfig, SFTConfig, EvalConfig)
}

AnyConfig = JobConfig | PipelineConfig
SCHEMA_OF: dict[str, type[AnyConfig]] = {**JOB_STAGES, PipelineConfig.STAGE: PipelineConfig}
"""Config types by command."""
