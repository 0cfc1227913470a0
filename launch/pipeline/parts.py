"""The parts of a pipeline in order, and where each is done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from eval.config import EvalConfig
from launch.config import JobConfig, PipelineConfig, Where
from launch.local import is_done
from pacos.configs.judge import JudgeConfig
from pacos.configs.shared import Device, Launcher
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class Link:
    """One part: a run, or what of an evaluation needs the models, or what of it needs the judge."""

    name: str
    """As in `where`."""
    config: JobConfig
    judged_later: bool = False
    """Whether it ends with the answers, and another one asks the judge about them."""

    @property
    def is_job(self) -> bool:
        return self.config.cluster.launcher is Launcher.slurm

    @property
    def run(self) -> RunPaths:
        """The run that it works on."""
        return RunPaths(Path(self.config.run.root) / str(self.config.run.name))

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is left to do."""
        if self.judged_later:
            assert isinstance(self.config, EvalConfig)
            return not self.config.lacks_answers(self.run.eval)
        return is_done(self.config, self.run)


def read_links(config: PipelineConfig, run: Path) -> list[Link]:
    """The parts of a pipeline whose directory is `run`."""
    generation, training, evaluation = config.stages(run)
    where = config.where
    teacher = generation.generator
    is_elsewhere = teacher.endpoint is not None and teacher.serve is None
    api = Where.login if is_elsewhere else None
    links = [
        _link("selfinstruct", generation, where.selfinstruct or api),
        _link("sft", training, where.sft),
    ]
    whole, judge = _link("eval", evaluation, where.eval), where.judge or Where.login
    if evaluation.judge.endpoint is None or whole.is_job is (judge is Where.job):
        return [*links, whole]
    unjudged = dataclasses.replace(evaluation, judge=JudgeConfig())
    # One process, whatever the models need.
    alone = dataclasses.replace(evaluation.cluster, nodes=1, ranks_per_node=1, device=Device.cpu)
    judging = dataclasses.replace(evaluation, cluster=alone)
    return [
        *links,
        _link("eval", unjudged, where.eval, judged_later=True),
        _link("judge", judging, judge),
    ]


def _link(name: str, config: JobConfig, where: Where | None, *, judged_later: bool = False) -> Link:
    launchers = {
        Where.login: Launcher.local,
        Where.job: Launcher.slurm,
        None: config.cluster.launcher,
    }
    cluster = dataclasses.replace(config.cluster, launcher=launchers[where])
    return Link(name, dataclasses.replace(config, cluster=cluster), judged_later)
