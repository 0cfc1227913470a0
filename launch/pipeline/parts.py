"""The parts of a pipeline in order, each with the place where it runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from eval.config import EvalConfig
from launch.config import JobConfig, PipelineConfig, Where
from launch.local import is_done
from pacos.configs.cluster import Device, Launcher
from pacos.configs.judge import JudgeConfig
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class PipelinePart:
    """One stage of a pipeline, or one half of its evaluation.

    An evaluation is split in two if its models and its judge run in different places: compute
    nodes often have GPUs and no internet, and login nodes the reverse.
    """

    name: str
    """Name of its key in `where`."""
    config: JobConfig
    answers_only: bool = False
    """True for an evaluation whose answers a later part has judged."""

    @property
    def is_job(self) -> bool:
        return self.config.cluster.launcher is Launcher.slurm

    @property
    def run(self) -> RunPaths:
        """The run it works on. Both halves of an evaluation share one."""
        return RunPaths(Path(self.config.run.root) / str(self.config.run.name))

    @property
    def is_done(self) -> bool:
        """True if nothing is left to do."""
        if self.answers_only:
            assert isinstance(self.config, EvalConfig)
            return not self.config.lacks_answers(self.run.eval)
        return is_done(self.config, self.run)


def read_parts(config: PipelineConfig, run: Path) -> list[PipelinePart]:
    """Return the parts of the pipeline whose run directory is `run`, in order."""
    generation, training, evaluation = config.stages(run)
    where = config.where
    generator = generation.generator
    is_remote_api = generator.endpoint is not None and generator.serve is None
    parts = [
        _place(
            "selfinstruct",
            generation,
            where.selfinstruct or (Where.login if is_remote_api else None),
        ),
        _place("sft", training, where.sft),
    ]
    evaluating = _place("eval", evaluation, where.eval)
    judge = where.judge or Where.login
    if evaluation.judge.endpoint is None or evaluating.is_job is (judge is Where.job):
        return [*parts, evaluating]
    unjudged = dataclasses.replace(evaluation, judge=JudgeConfig())
    # Judging is one process that sends requests, whatever hardware the models need.
    one_process = dataclasses.replace(
        evaluation.cluster, nodes=1, ranks_per_node=1, device=Device.cpu
    )
    judging = dataclasses.replace(evaluation, cluster=one_process)
    return [
        *parts,
        _place("eval", unjudged, where.eval, answers_only=True),
        _place("judge", judging, judge),
    ]


def _place(
    name: str, config: JobConfig, where: Where | None, *, answers_only: bool = False
) -> PipelinePart:
    """Return a part whose launcher follows `where`; None keeps the stage's own launcher."""
    launchers = {
        Where.login: Launcher.local,
        Where.job: Launcher.slurm,
        None: config.cluster.launcher,
    }
    cluster = dataclasses.replace(config.cluster, launcher=launchers[where])
    return PipelinePart(name, dataclasses.replace(config, cluster=cluster), answers_only)
