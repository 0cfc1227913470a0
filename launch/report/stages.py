"""The facts that the runs of all stages record alike: state, lives, config, manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launch.config import JOB_STAGES, PipelineConfig
from pacos.errors import UserError
from pacos.files import read_json
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a run. `ended` is None while it runs, and if it was killed."""

    number: int
    started: float
    ended: float | None
    reason: str
    first_step: int | None


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A config value that a later life changed."""

    life: int
    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class StageFacts:
    """The records of a run that are the same for every stage."""

    name: str
    run: RunPaths
    state: State | None
    """None if the run does not exist."""
    lives: list[Life]
    config: dict[str, str]
    changes: list[ConfigChange]
    manifest: Mapping[str, Any]

    @property
    def state_text(self) -> str:
        """The state in words. A run that was killed still has the state `running`."""
        if self.state is None or self.state is State.created:
            return "not started"
        return "running or killed" if self.state is State.running else self.state.value

    @property
    def started(self) -> float | None:
        return self.lives[0].started if self.lives else None

    @property
    def unended(self) -> int:
        """Number of lives without a recorded end: killed, or still running."""
        return sum(life.ended is None for life in self.lives)

    @property
    def seconds(self) -> float:
        """Total time of the lives whose end is known."""
        return sum(life.ended - life.started for life in self.lives if life.ended is not None)

    @property
    def missing(self) -> str | None:
        """The reason why this stage is incomplete, as a clause; None if it is done."""
        if self.state is State.done:
            return None
        reason = self.lives[-1].reason if self.lives else ""
        return f"{self.name} is {self.state_text}" + (f" ({reason})" if reason else "")


def read_stages(run: Path) -> list[StageFacts]:
    """Read the stages of a run: three for a pipeline, else one.

    Raises:
        UserError: the folder is no run.
    """
    manifest = RunPaths(run).manifest
    if not manifest.is_file():
        raise UserError(f"{run}: not a run; give the folder of one, such as runs/demo")
    stage = str(read_json(manifest)["stage"])
    if stage != PipelineConfig.STAGE:
        return [read_stage(stage, run)]
    return [read_stage(name, run / name) for name in JOB_STAGES]


def read_stage(name: str, path: Path) -> StageFacts:
    """Read the records of one run. A run that does not exist is a stage that has not started."""
    run = RunPaths(path)
    exists = run.manifest.is_file()
    configs = _configs(run)
    return StageFacts(
        name=name,
        run=run,
        state=Lives(run).state() if exists else None,
        lives=_lives(run),
        # The newest: free fields may differ from those of the first life.
        config=configs[max(configs)] if configs else {},
        changes=_changes(configs),
        manifest=read_json(run.manifest) if exists else {},
    )


def _lives(run: RunPaths) -> list[Life]:
    return [
        Life(
            number=life["life"],
            started=life["start"],
            ended=life.get("end"),
            reason=life.get("reason", ""),
            first_step=life.get("first_step"),
        )
        for life in Lives(run).all()
    ]


def _configs(run: RunPaths) -> dict[int, dict[str, str]]:
    """Return flat configs by the first life that had them."""
    return {
        life: flat_texts(OmegaConf.to_container(OmegaConf.load(path)))
        for life, path in run.configs().items()
    }


def _changes(configs: Mapping[int, Mapping[str, str]]) -> list[ConfigChange]:
    lives = sorted(configs)
    return [
        ConfigChange(life, key, configs[earlier].get(key, "absent"), value)
        for earlier, life in pairwise(lives)
        for key, value in configs[life].items()
        if configs[earlier].get(key) != value
    ]


def flat_texts(tree: object, prefix: str = "") -> dict[str, str]:
    """Return the leaves of nested mappings by dotted key, formatted as in YAML.

    A list is one leaf.
    """
    if not isinstance(tree, Mapping):
        return {prefix: _text(tree)}
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        leaves.update(flat_texts(value, f"{prefix}.{key}" if prefix else str(key)))
    return leaves


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def shuffling_key(text: str) -> str:
    """Return a sort key that orders texts independently of their content, the same each time."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
