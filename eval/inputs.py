"""The files that an evaluation reads, and whether they are still what the run began with."""

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
from pacos.run_paths import RunPaths

MODEL_FILES = ("config.json", "*.safetensors", "*.bin", "tokenizer.json", "tokenizer.model")


def input_files(config: EvalConfig, suite: Mapping[str, Path]) -> dict[str, Path]:
    """Every local file that the scores depend on, under a name for the manifest.

    Args:
        config: of the evaluation.
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
        model = Path(load_directory(path))
        found = [file for pattern in MODEL_FILES for file in sorted(model.glob(pattern))]
        files |= {f"{label}/{file.name}": file for file in found}
    return files


def model_content(run: RunPaths, label: str) -> dict[str, str]:
    """Digests of the files of a model, which are in the manifest; of a hub id there are none."""
    inputs = read_json(run.manifest)["inputs"]
    return {
        name.removeprefix(f"{label}/"): each["sha256"]
        for name, each in inputs.items()
        if name.startswith(f"{label}/")
    }


def record_inputs(run: RunPaths, files: dict[str, Path]) -> None:
    """Put digests of the files into the manifest.

    Raises:
        UserError: finished parts of the run were made with other files.
    """
    recorded = read_json(run.manifest)["inputs"]
    digests = {name: sha256(path) for name, path in files.items() if name in recorded}
    changed = [name for name, digest in digests.items() if recorded[name]["sha256"] != digest]
    if changed:
        names = "\n".join(f"  {name}: {files[name]}" for name in changed)
        raise UserError(
            f"run.name = {run.path.name}: these files changed since the run began; choose another "
            f"run.name, or put them back:\n{names}"
        )
    new = {name: path for name, path in files.items() if name not in recorded}
    if new:
        add_inputs(run, new)
