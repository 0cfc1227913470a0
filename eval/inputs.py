"""The files that an evaluation reads, and the check that they have not changed between lives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.config import ENDPOINT, EvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from eval.engine.loading import load_directory
from eval.rubrics.rubric import read_rubrics
from pacos.benchmarks.catalogue import BENCHMARKS
from pacos.errors import UserError
from pacos.files import read_json, sha256
from pacos.run.manifest import add_inputs
from pacos.run_paths import ORIGIN, RunPaths

MODEL_FILES = ("config.json", "*.safetensors", "*.bin", "tokenizer.json", "tokenizer.model", ORIGIN)
"""Files of a model directory that its scores depend on, and the one that says where it is from."""


def input_files(config: EvalConfig, suite: Mapping[str, Path]) -> dict[str, Path]:
    """Return every local file that the scores depend on, by its name in the manifest.

    Args:
        config: config of the evaluation.
        suite: files of the suite's tasks.
    """
    files = dict(suite)
    if HUMANEVAL in config.suite.tasks:
        (problems,) = BENCHMARKS[HUMANEVAL].files(config.suite.data_folder())
        files[f"data/{problems.name}"] = problems
    for rubric in read_rubrics(config.suite):
        files[f"rubric/{rubric.name}"] = config.suite.directory() / f"{rubric.name}.yaml"
        if rubric.prompts is not None:
            files[f"prompts/{rubric.name}"] = rubric.prompts
    if config.heldout is not None:
        files["heldout"] = Path(config.heldout).expanduser()
    for label, path in config.models().items():
        if path == ENDPOINT:
            continue
        folder = Path(load_directory(path))
        files |= {
            f"{label}/{file.name}": file
            for pattern in MODEL_FILES
            for file in sorted(folder.glob(pattern))
        }
    return files


def model_digests(run: RunPaths, label: str) -> dict[str, str]:
    """Return the sha256 of a model's files from the manifest; a hub id has none."""
    inputs = read_json(run.manifest)["inputs"]
    return {
        name.removeprefix(f"{label}/"): recorded["sha256"]
        for name, recorded in inputs.items()
        if name.startswith(f"{label}/")
    }


def record_inputs(run: RunPaths, files: dict[str, Path]) -> None:
    """Record the digests of the files in the manifest.

    Raises:
        UserError: a file differs from the one that finished parts of the run were made with.
    """
    recorded = read_json(run.manifest)["inputs"]
    # Files that are new to the manifest are hashed when they are added.
    digests = {name: sha256(path) for name, path in files.items() if name in recorded}
    changed = [name for name, digest in digests.items() if recorded[name]["sha256"] != digest]
    if changed:
        names = "\n".join(f"  {name}: {files[name]}" for name in changed)
        raise UserError(
            f"run.name = {run.path.name}: these files changed since the run began; choose another "
            f"run.name, or restore them:\n{names}"
        )
    new = {name: path for name, path in files.items() if name not in recorded}
    if new:
        add_inputs(run, new)
