"""The manifest of a run: the code, packages, hardware and inputs that it was made from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacos.configs.stage import StageConfig
from pacos.data.digests import digest_of
from pacos.files import read_json, write_json
from pacos.identity import identity
from pacos.run_paths import RunPaths

VERSIONED = ("pacos", "torch", "deepspeed", "accelerate", "transformers", "datasets", "lm_eval")
"""Packages whose versions change results."""

GIT_SECONDS = 10
"""Longest wait for git: a checkout on a slow network disk must not hold up a run."""


def new_manifest(config: StageConfig) -> dict[str, Any]:
    """Return the manifest of a run that is about to be created."""
    return {
        "stage": config.STAGE,
        "identity": identity(config),
        "created": time.time(),
        "folder": os.getcwd(),
        # Drawn, not derived from the identity: the same config under another root is another W&B
        # run.
        "wandb_id": os.environ.get("WANDB_RUN_ID") or secrets.token_hex(6),
        "git_commit": git_commit(),
        "versions": package_versions(),
        "hardware": {
            "host": platform.node(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "inputs": {},
    }


def add_inputs(run: RunPaths, inputs: Mapping[str, Path], **facts: Any) -> None:
    """Add the digests of input files, and other facts, to the manifest of a run."""
    manifest = read_json(run.manifest)
    for name, path in inputs.items():
        manifest["inputs"][name] = {"path": str(path), "sha256": digest_of(path)}
    manifest.update(facts)
    write_json(run.manifest, manifest)


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that change results."""
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """Return the commit of the checkout that pacos runs from, or None for an installed wheel."""
    # Not the working directory, which may be a checkout of something else.
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
