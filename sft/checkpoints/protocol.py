"""The checkpoint protocol: written in the background, published when complete, verified before use.

A save copies this rank's part to host memory; then training goes on, and one thread per rank writes
the copy. Threads run no collectives, which must come in the same order on every rank. Instead every
rank leaves a note beside its part in the shared folder. When rank 0 has seen all notes, it writes
the manifest and renames the folder into place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from pacos.configs.tracking import TrackingService
from pacos.distributed import World
from pacos.division import ceil_div
from pacos.errors import UserError
from pacos.identity import identity
from pacos.run_paths import RunPaths
from pacos.tracking.wandb import run_id
from sft.checkpoints.engine_state import EngineState, random_states, restore_random_states
from sft.checkpoints.host_memory import HostCopy
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.save import Save
from sft.checkpoints.shards import ShardLayout, Shards, layout_bytes, name_of, shard_name
from sft.checkpoints.store import Store, damage
from sft.config import SFTConfig
from sft.engine.protocol import Engine

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run, in one life. Every rank makes the same calls."""

    def __init__(
        self, run: RunPaths, config: SFTConfig, engine: Engine, data: str, world: World
    ) -> None:
        """Prepare to load and save.

        Args:
            run: paths of the run.
            config: config of this life.
            engine: the engine whose state is kept.
            data: digest of the rows trained on.
            world: this rank.
        """
        self._config = config
        self._world = world
        self._data = data
        self._wandb_id = run_id(run) if config.tracking.service is TrackingService.wandb else None
        self._store = Store(run.checkpoints, config.checkpoint)
        self._state = EngineState(engine, world, config.optimizer.STATES)
        self._layout: ShardLayout = [
            *((name_of(span), dtype, span.count) for span, dtype in self._state.spans()),
            *((name, state.dtype, len(state)) for name, state in random_states().items()),
        ]
        self._bytes = sum(world.gather(layout_bytes(self._layout)))
        self._host: HostCopy | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._save: Save | None = None
        self._longest = 0.0

    def load_newest(self, last: int) -> int:
        """Load the newest complete checkpoint into the engine; set broken ones aside.

        Args:
            last: the last step of the run.

        Returns:
            Steps made so far; 0 without a checkpoint.

        Raises:
            UserError: the checkpoint belongs to another run or to other rows, a machine does not
                see it, or the disk is too small for those to come. The engine is unchanged.
        """
        self._world.on_main(self._store.clean)
        newest = self._undamaged(self._store.newest)
        # Also when nothing is loaded: somebody may have moved newer checkpoints away.
        self._world.on_main(partial(self._store.point_at, newest and newest[0]))
        step = newest[1].step if newest else 0
        saves = ceil_div(last - step, self._config.checkpoint.every_steps)
        self._world.on_main(lambda: self._require_room(saves))
        if newest is not None:
            self._load(*newest)
        return step

    def best(self) -> tuple[Path, CheckpointManifest]:
        """Return the undamaged checkpoint with the lowest validation loss; every rank calls it.

        Raises:
            UserError: no checkpoint has a validation loss.
        """
        best = self._undamaged(self._store.best)
        if best is None:
            raise UserError(
                f"export.checkpoint = best: no checkpoint in {self._store.folder} has a validation "
                "loss; set export.checkpoint=last"
            )
        return best

    def _undamaged(
        self, choose: Callable[[], tuple[Path, CheckpointManifest] | None]
    ) -> tuple[Path, CheckpointManifest] | None:
        """Return rank 0's choice of a checkpoint, after setting damaged choices aside."""
        while chosen := self._world.on_main(choose):
            folder, manifest = chosen
            self._refuse_foreign(folder, manifest)
            # Each rank hashes its share: rank 0 alone would need an hour for a 70B model.
            names = sorted(manifest.files)[self._world.rank :: self._world.size]
            files = {name: manifest.files[name] for name in names}
            own = self._world.together(partial(damage, folder, files))
            faults = list(chain.from_iterable(self._world.gather(own)))
            if not faults:
                return chosen
            self._world.on_main(partial(self._store.quarantine, folder, faults))
        return None

    def _refuse_foreign(self, folder: Path, manifest: CheckpointManifest) -> None:
        if manifest.identity != identity(self._config):
            raise UserError(
                f"{folder} belongs to a run with another config; move it away, or start a run "
                "with another run.name"
            )
        if manifest.data != self._data:
            raise UserError(
                f"data.path, data.mix: the rows differ from those that {folder} was trained on; "
                "restore the files, or start a run with another run.name"
            )

    def _load(self, folder: Path, manifest: CheckpointManifest) -> None:
        def read() -> Shards:
            shards = Shards([folder / name for name in sorted(manifest.files)])
            if differences := shards.differences(
                self._state.kinds, self._state.sizes, self._state.dtype
            ):
                reasons = "; ".join(differences[:3])
                raise UserError(f"{folder} does not fit this model: {reasons}")
            return shards

        # `together`, so that one rank's failure to read ends all of them before the collective that
        # updates the working weights.
        shards = self._world.together(read)
        self._world.together(lambda: self._state.fill(shards.copy, manifest.updates))
        self._state.update_working_weights()
        own = folder / shard_name(self._world.rank)
        # With more ranks than before, the new ones have no random states to restore.
        if own.name in manifest.files:
            restore_random_states(own)
        log.info(
            f"continuing from {folder}, saved by {manifest.world_size} ranks under "
            f"ZeRO-{manifest.stage}"
        )

    def save(self, step: int, validation_loss: float | None = None) -> None:
        """Begin to save in the background, after the previous save has ended.

        Args:
            step: the step that was just made.
            validation_loss: validation loss after it, if it was measured.

        Raises:
            UserError: this save cannot begin, or the previous one failed.
        """
        self.finish()
        folder = self._world.on_main(partial(self._begin, step))
        manifest = CheckpointManifest(
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
        # At the first save rather than at the start: by then the engine has taken its memory, and
        # what is available is known.
        if self._host is None:
            self._host = HostCopy(self._layout, self._config.cluster.ranks_per_node)
            if not self._host.fits:
                log.warning(
                    "host memory has no room for a copy of the checkpoint: training waits while "
                    "it is written"
                )
        tensors = chain(self._state.tensors(), random_states().values())
        content = self._host.take(tensors) if self._host.fits else tensors
        self._save = Save(
            folder, manifest, self._layout, content, self._store, self._thread, self._world
        )
        if not self._host.fits:
            self._save.wait_until_written()

    @property
    def failed(self) -> bool:
        """True if this rank knows that a save failed; `finish` then raises the reason."""
        return self._save is not None and self._save.failed

    def finish(self) -> None:
        """Wait for the save in progress, if there is one.

        Raises:
            UserError: it failed.
        """
        if self._save is not None:
            save, self._save = self._save, None
            save.end()
            self._longest = max(self._longest, save.seconds)

    @property
    def seconds(self) -> float:
        """Seconds that the longest save of this life took, from its beginning to its end."""
        return max(self._longest, self._save.seconds if self._save else 0.0)

    def _begin(self, step: int) -> Path:
        self._require_room(saves=1)
        return self._store.begin(step)

    def _require_room(self, saves: int) -> None:
        measured = self._config.validation.is_on
        self._store.require_room(self._bytes, saves, measured=measured)
