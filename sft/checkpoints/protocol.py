"""The checkpoint protocol: written in the background, published when whole, verified before use.

A save copies this rank's part to host memory; training goes on while one thread of each rank writes
it. No collective runs in a thread: every rank ends its part with a note beside it in the shared
folder, and rank 0, when it has seen all notes, writes the manifest and renames the folder.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pacos.configs.shared import Tracker
from pacos.distributed import World
from pacos.division import ceil_div
from pacos.errors import UserError
from pacos.identity import identity
from pacos.run_paths import RunPaths
from pacos.tracking.wandb import run_id
from sft.checkpoints import random_state
from sft.checkpoints.engine_state import EngineState
from sft.checkpoints.host_memory import HostCopy
from sft.checkpoints.manifest import Manifest
from sft.checkpoints.save import Save
from sft.checkpoints.shards import Layout, Shards, layout_bytes, name_of, shard_name
from sft.checkpoints.store import Store, damage
from sft.config import SFTConfig

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run, in one life. Every rank makes the same calls."""

    def __init__(
        self, run: RunPaths, config: SFTConfig, engine: Any, data: str, world: World
    ) -> None:
        """Take up the checkpoints of a run.

        Args:
            run: whose they are.
            config: of this life.
            engine: of DeepSpeed.
            data: digest of the rows trained on.
            world: this rank.
        """
        self._config = config
        self._world = world
        self._data = data
        self._wandb_id = run_id(run) if config.tracking.service is Tracker.wandb else None
        self._store = Store(run.checkpoints, config.checkpoint)
        self._state = EngineState(engine, world)
        self._layout: Layout = [
            *((name_of(span), dtype, span.count) for span, dtype in self._state.spans()),
            *((name, state.dtype, len(state)) for name, state in random_state.capture().items()),
        ]
        self._bytes = sum(world.gather(layout_bytes(self._layout)))
        self._host: HostCopy | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._save: Save | None = None
        self._longest = 0.0

    def load_newest(self, last: int) -> int:
        """Load the newest whole checkpoint into the engine; what is broken is set aside.

        Args:
            last: step of the run.

        Returns:
            Steps made; 0 where there is no checkpoint.

        Raises:
            UserError: the checkpoint is of another run or of other rows, a machine does not see it,
                or the disk is too small for those to come. The engine is as it was.
        """
        found = self._newest_whole()
        self._world.on_main(partial(self._store.point_at, found and found[0]))
        step = found[1].step if found else 0
        saves = ceil_div(last - step, self._config.checkpoint.every_steps)
        self._world.on_main(lambda: self._require_room(saves))
        if found is not None:
            self._load(*found)
        return step

    def _newest_whole(self) -> tuple[Path, Manifest] | None:
        self._world.on_main(self._store.clean)
        while found := self._world.on_main(self._store.newest):
            folder, manifest = found
            self._refuse_other(folder, manifest)
            # Each rank reads its share: one alone would take an hour for a 70B model.
            names = sorted(manifest.files)[self._world.rank :: self._world.size]
            files = {name: manifest.files[name] for name in names}
            own = self._world.together(partial(damage, folder, files))
            faults = list(chain.from_iterable(self._world.gather(own)))
            if not faults:
                return found
            self._world.on_main(partial(self._store.quarantine, folder, faults))
        return None

    def _refuse_other(self, folder: Path, manifest: Manifest) -> None:
        if manifest.identity != identity(self._config):
            raise UserError(
                f"{folder} belongs to a run with another config; move it away, or start a run "
                "with another run.name"
            )
        if manifest.data != self._data:
            raise UserError(
                f"data.path, data.mix: the rows are not those that {folder} was trained on; put "
                "the files back as they were, or start a run with another run.name"
            )

    def _load(self, folder: Path, manifest: Manifest) -> None:
        def read() -> Shards:
            shards = Shards([folder / name for name in sorted(manifest.files)])
            if wrong := shards.differences(self._state.sizes, self._state.dtype):
                raise UserError(f"{folder} does not fit this model: {'; '.join(wrong[:3])}")
            return shards

        shards = self._world.together(read)
        self._world.together(lambda: self._state.fill(shards.read, manifest.updates))
        self._state.spread()
        own = folder / shard_name(self._world.rank)
        if own.name in manifest.files:
            random_state.restore(own)
        log.info(
            f"goes on from {folder}, saved by {manifest.world_size} ranks under "
            f"ZeRO-{manifest.stage}"
        )

    def save(self, step: int, validation_loss: float | None = None) -> None:
        """Begin to save after a step, when the save before has ended.

        Args:
            step: that was just made.
            validation_loss: measured after it.

        Raises:
            UserError: this one cannot begin, or the one before could not be written.
        """
        self.finish()
        folder = self._world.on_main(partial(self._begin, step))
        manifest = Manifest(
            step=step,
            updates=self._state.updates,
            identity=identity(self._config),
            data=self._data,
            world_size=self._world.size,
            stage=self._config.deepspeed.stage,
            wandb_id=self._wandb_id,
            validation_loss=validation_loss,
            files={},
        )
        if self._host is None:
            self._host = HostCopy(self._layout, self._config.cluster.ranks_per_node)
            if not self._host.fits:
                log.warning(
                    "memory has no room for a copy of what is saved: training waits for the disk"
                )
        tensors = chain(self._state.tensors(), random_state.capture().values())
        copied = self._host.take(tensors) if self._host.fits else tensors
        self._save = Save(
            folder, manifest, self._layout, copied, self._store, self._thread, self._world
        )
        if not self._host.fits:
            self._save.written()

    @property
    def failed(self) -> bool:
        """Whether this rank knows that a save will not be whole; `finish` then says why."""
        return self._save is not None and self._save.failed

    def finish(self) -> None:
        """Wait for the save under way, if there is one.

        Raises:
            UserError: it could not be written.
        """
        if self._save is not None:
            save, self._save = self._save, None
            save.end()
            self._longest = max(self._longest, save.seconds)

    @property
    def seconds(self) -> float:
        """What the longest save of this life took, from its beginning to its end."""
        return max(self._longest, self._save.seconds if self._save else 0.0)

    def _begin(self, step: int) -> Path:
        self._require_room(saves=1)
        return self._store.begin(step)

    def _require_room(self, saves: int) -> None:
        measured = self._config.validation.rows > 0
        self._store.require_room(self._bytes, saves, measured=measured)
