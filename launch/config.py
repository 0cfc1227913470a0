"""The configs of all commands: those of the stages, and the pipeline's, which holds the three."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from eval.config import SCHEMAS as EVAL_SCHEMAS
from eval.config import EvalConfig
from pacos.configs.shared import RunConfig, StageConfig
from pacos.errors import Problem
from pacos.run_paths import DataPaths, RunPaths
from selfinstruct.config import SCHEMAS as SELFINSTRUCT_SCHEMAS
from selfinstruct.config import SelfInstructConfig
from sft.config import SCHEMAS as SFT_SCHEMAS
from sft.config import SFTConfig


class Where(Enum):
    """Where a part of a pipeline is done."""

    login = "login"
    job = "job"


@dataclass(kw_only=True, slots=True)
class WhereConfig:
    """Where the parts of a pipeline are done: where the command is typed, or in Slurm jobs."""

    selfinstruct: Where | None = None
    """Null: `login` for a teacher behind an API; for others what `selfinstruct.cluster` says."""
    sft: Where | None = None
    """Null: what `sft.cluster` says."""
    eval: Where | None = None
    """Null: what `eval.cluster` says. The models' part of the evaluation."""
    judge: Where | None = None
    """Null: `login`. The judge's part of the evaluation, which needs the network and no model."""


FROM_PIPELINE = "from the pipeline"
"""Value of the fields that the stage before fills in."""


@dataclass(kw_only=True, slots=True)
class PipelineConfig:
    """Everything that `pacos pipeline` needs to know."""

    STAGE: ClassVar[str] = "pipeline"
    FREE: ClassVar[tuple[str, ...]] = (
        "where",
        *(
            f"{stage.STAGE}.{key}"
            for stage in (SelfInstructConfig, SFTConfig, EvalConfig)
            for key in ("run", *stage.FREE)
        ),
    )

    run: RunConfig = field(default_factory=RunConfig)
    selfinstruct: SelfInstructConfig = field(default_factory=SelfInstructConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    where: WhereConfig = field(default_factory=WhereConfig)

    def subject(self) -> str:
        return self.sft.model.name

    def stages(self, run: Path) -> tuple[SelfInstructConfig, SFTConfig, EvalConfig]:
        """The three ordinary configs, each reading what the one before wrote below `run`."""

        def folder(stage: type[StageConfig]) -> RunConfig:
            return RunConfig(name=stage.STAGE, root=str(run))

        data = RunPaths(run / SelfInstructConfig.STAGE).data
        heldout = DataPaths(data).heldout if self.selfinstruct.seeds.heldout else None
        return (
            dataclasses.replace(
                self.selfinstruct, run=folder(SelfInstructConfig), suite=self.eval.suite
            ),
            dataclasses.replace(
                self.sft,
                run=folder(SFTConfig),
                data=dataclasses.replace(self.sft.data, path=str(data)),
            ),
            dataclasses.replace(
                self.eval,
                run=folder(EvalConfig),
                target=str(run / SFTConfig.STAGE),
                baseline=self.sft.model.path,
                prompt_format=self.sft.model.prompt_format,
                heldout=str(heldout) if heldout else None,
            ),
        )

    def problems(self) -> list[Problem]:
        stages = self.stages(Path(self.run.root))
        return [
            dataclasses.replace(problem, key=f"{stage.STAGE}.{problem.key}")
            for stage in stages
            for problem in stage.problems()
        ]

    def missing_files(self) -> list[Problem]:
        """Files that must be there before the first stage; what a stage will make is not."""
        made_later = {"data.path", "target", "heldout"}
        return [
            dataclasses.replace(problem, key=f"{stage.STAGE}.{problem.key}")
            for stage in self.stages(Path(self.run.root))
            for problem in stage.missing_files()
            if problem.key not in made_later
        ]


SCHEMAS = {
    "pipeline_schema": PipelineConfig,
    "where/schema": WhereConfig,
    **SELFINSTRUCT_SCHEMAS,
    **SFT_SCHEMAS,
    **EVAL_SCHEMAS,
}

JobConfig = SelfInstructConfig | SFTConfig | EvalConfig
"""Of a stage, which can be a job of its own."""
JOB_STAGES: dict[str, type[JobConfig]] = {
    schema.STAGE: schema for schema in (SelfInstructConfig, SFTConfig, EvalConfig)
}

AnyConfig = JobConfig | PipelineConfig
SCHEMA_OF: dict[str, type[AnyConfig]] = {**JOB_STAGES, PipelineConfig.STAGE: PipelineConfig}
"""By the name of the command."""
