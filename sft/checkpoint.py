"""Checkpoints: written by all ranks under a temporary name, hashed, renamed when whole."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import atomic_write, fsync_folder, read_json, sha256, write_json
from sft.config import SFTConfig

log = logging.getLogger(__name__)

TAG = "engine"
"""Folder of DeepSpeed's own files inside a checkpoint."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, config: SFTConfig, world: World) -> None:
        self._folder = folder
        self._config = config
        self._world = world

    def save(self, engine: Any, step: int) -> None:
        """Save after `step`; every rank calls it. Older checkpoints than `keep` are removed."""
        final = self._folder / f"step-{step:06d}"
        partial = final.with_suffix(".tmp")
        if self._world.is_main:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        self._world.barrier()
        engine.save_checkpoint(str(partial), tag=TAG, save_latest=False)
        self._world.barrier()
        if self._world.is_main:
            write_json(partial / "manifest.json", self._manifest(partial, step))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            fsync_folder(self._folder)
            atomic_write(self._folder / "latest", final.name + "\n")
            for old in self._all()[: -self._config.checkpoint.keep]:
                shutil.rmtree(old)
        self._world.barrier()

    def _manifest(self, folder: Path, step: int) -> dict[str, Any]:
        files = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                _fsync(path)
                name = str(path.relative_to(folder))
                files[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        return {
            "step": step,
            "world_size": self._world.size,
            "stage": self._config.deepspeed.stage,
            "files": files,
        }

    def _all(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("step-??????") if path.is_dir())

    def load_newest(self, engine: Any) -> int:
        """Load the newest whole checkpoint; returns its step, 0 where there is none.

        Raises:
            UserError: it was saved by another number of ranks or under another ZeRO stage.
        """
        found = self._all()
        if not found:
            return 0
        manifest = read_json(found[-1] / "manifest.json")
        now = {"world_size": self._world.size, "stage": self._config.deepspeed.stage}
        for key, value in now.items():
            if manifest[key] != value:
                raise UserError(
                    f"{found[-1]} was saved with {key} {manifest[key]}, this life has {value}; "
                    "go on with the same, or start a run with another run.name"
                )
        engine.load_checkpoint(str(found[-1]), tag=TAG)
        log.info("resumed from %s", found[-1])
        return int(manifest["step"])


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
