"""The runs and models below a folder, and the hashes that link them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pacos.files import read_json, sha256
from pacos.model.paths import exported_model
from pacos.run_paths import ORIGIN, RunPaths

STAGES = ("selfinstruct", "sft", "eval")
DEPTH = 4
"""Folders between the root and a model that are searched: SWEEP/POINT/STAGE/model. Deeper ones may
be anything, such as a data set of a million files."""
DIGITS = 12
"""Hexadecimal digits shown of a hash; manifests hold all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run, as its manifest describes it."""

    paths: RunPaths
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Path and SHA-256 of each file that it read, by its name in the manifest."""
        inputs: Mapping[str, Mapping[str, str]] = self.manifest.get("inputs", {})
        return inputs

    def config(self) -> Mapping[str, Any]:
        """Return the config of its first life; empty if it is gone."""
        file = self.paths.config
        return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}

    def absolute(self, path: str) -> str:
        """Return a path of the run's records, which may start from the folder of its command."""
        return str(Path(self.manifest.get("folder", "/")) / path)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that pacos exported."""

    folder: Path
    origin: Mapping[str, Any]
    """Content of origin.json: the checkpoint, and the hashes of the files of weights."""
    digest: str
    """SHA-256 of origin.json: the fingerprint of the model."""

    @property
    def step(self) -> int:
        return int(self.origin["step"])


def read_run(folder: Path) -> Run | None:
    """Return the run in a folder; None if the folder is none."""
    paths = RunPaths(folder)
    manifest = _object(paths.manifest)
    return Run(paths, manifest) if manifest is not None and "stage" in manifest else None


def root_of(folder: Path) -> Path:
    """Return the folder in which a run or a model lies beside others."""
    parents = folder.absolute().parents
    # A model lies in its run, and that may lie in the run of a pipeline.
    around = [parent for parent in parents[:2] if read_run(parent) is not None]
    root = around[-1].parent if around else parents[0]
    here = Path.cwd()
    return root.relative_to(here) if root.is_relative_to(here) else root


def read_model(folder: Path) -> Model | None:
    """Return the model in a folder; None without a model that pacos exported."""
    origin = _object(folder / ORIGIN)
    if origin is None or not {"identity", "step"} <= origin.keys():
        return None
    return Model(folder, origin, sha256(folder / ORIGIN))


def _object(file: Path) -> dict[str, Any] | None:
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@dataclass(frozen=True, slots=True)
class Library:
    """All runs and models below a folder."""

    root: Path
    runs: list[Run] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)

    @classmethod
    def below(cls, root: Path) -> Library:
        """Read the manifests below a folder."""
        library = cls(root)
        for parent, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            folder = Path(parent)
            if len(folder.relative_to(root).parts) == DEPTH:
                folders.clear()
            if "manifest.json" in files and (run := read_run(folder)):
                library.runs.append(run)
                # Nothing else in a run is a run or a model.
                folders[:] = [
                    name for name in folders if name in STAGES or name.split("-")[0] == "model"
                ]
            elif ORIGIN in files and (model := read_model(folder)):
                library.models.append(model)
                folders.clear()
        return library

    @classmethod
    def around(cls, folder: Path) -> Library:
        """Read the manifests of a run, of its pipeline's stages, and of what its files are from."""
        library = cls(folder.parent)
        run = library.run_in(folder)
        files = [Path(run.absolute(file["path"])) for file in run.inputs.values()] if run else []
        # A file of rows or of weights lies one or two folders below its run.
        near = [parent for file in files for parent in file.parents[:2]]
        for each in (*(folder.parent / stage for stage in STAGES), *near):
            library.run_in(each)
            library.model_in(each)
        for maker in library.of_stage("sft"):
            library.model_in(maker.paths.model)
        return library

    def run_in(self, folder: Path) -> Run | None:
        """Return the run in a folder; None without one. A run that lies elsewhere joins."""
        same = (run for run in self.runs if run.paths.path.absolute() == folder.absolute())
        run = next(same, None) or read_run(folder)
        if run is not None and run not in self.runs:
            self.runs.append(run)
        return run

    def model_in(self, folder: Path) -> Model | None:
        """Return the model in a folder; None without one. A model that lies elsewhere joins."""
        same = (model for model in self.models if model.folder.absolute() == folder.absolute())
        model = next(same, None) or read_model(folder)
        if model is not None and model not in self.models:
            self.models.append(model)
        return model

    def of_stage(self, stage: str) -> list[Run]:
        """Return the runs of one stage."""
        return [run for run in self.runs if run.stage == stage]

    def maker_of_data(self, sha256: str, path: str) -> Run | None:
        """Return the selfinstruct run that wrote a file, wherever the file is now."""
        makers = self.of_stage("selfinstruct")
        for run in makers:
            if sha256 in run.manifest.get("outputs", {}).values():
                return run
        # Runs of older versions record no hashes of what they wrote.
        older = [run for run in makers if "outputs" not in run.manifest]
        parents = Path(path).absolute().parents
        return next((run for run in older if run.paths.data.absolute() in parents), None)

    def users_of_data(self, maker: Run) -> list[Run]:
        """Return the training runs that read what a selfinstruct run wrote."""
        return [
            run
            for run in self.of_stage("sft")
            if any(
                self.maker_of_data(file["sha256"], run.absolute(file["path"])) is maker
                for file in data_files(run).values()
            )
        ]

    def maker_of_model(self, model: Model) -> Run | None:
        """Return the training run of a model; None if it is not below the folder."""
        makers = [
            run
            for run in self.of_stage("sft")
            if run.manifest.get("identity") == model.origin["identity"]
        ]
        # The same config may have run twice, under two names.
        around = model.folder.absolute().parents
        named = [run for run in makers if run.paths.path.absolute() in around]
        named += [run for run in makers if run.paths.path.name == model.origin.get("run")]
        return next(iter([*named, *makers]), None)

    def models_of(self, maker: Run) -> list[Model]:
        """Return the models that were made from a training run."""
        return [model for model in self.models if self.maker_of_model(model) is maker]

    def tuned_from(self, model: Model) -> list[Run]:
        """Return the training runs that started from a model."""
        return [
            run
            for run in self.of_stage("sft")
            if run.inputs.get("weights", {}).get("sha256") == model.digest
        ]

    def evaluations_of(self, model: Model) -> list[tuple[Run, str]]:
        """Return the evaluations of a model, each with the model's label in it."""
        return [
            (run, label)
            for run in self.of_stage("eval")
            for label in ("target", "baseline")
            if (evaluated := self.evaluated(run, label)) is not None
            and evaluated.digest == model.digest
        ]

    def evaluated(self, run: Run, label: str) -> Model | None:
        """Return the model that an evaluation calls `target` or `baseline`, if pacos made it."""
        recorded = run.inputs.get(f"{label}/{ORIGIN}")
        if recorded is not None:
            return next((each for each in self.models if each.digest == recorded["sha256"]), None)
        # Evaluations of older versions are known by the path of the model alone.
        path = run.absolute(str(run.config().get(label)))
        folder = (exported_model(path) or Path(path)).absolute()
        return next((each for each in self.models if each.folder.absolute() == folder), None)


def data_files(run: Run) -> dict[str, Mapping[str, str]]:
    """Return the files of rows that a training run read, by name: `data`, `data 2` and so on."""
    return {name: file for name, file in run.inputs.items() if name.split(" ")[0] == "data"}


def scores_of(run: Run, label: str) -> Iterator[tuple[str, float]]:
    """Yield the scores of a model in an evaluation by task/metric; none before its end."""
    result = _object(run.paths.result) or {}
    for name, value in result.get(label, {}).items():
        if isinstance(value, int | float):
            yield name, value
