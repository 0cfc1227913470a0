"""One save in progress: the part that this rank's thread writes, and rank 0's publication."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import fsync_folder, read_json
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.shards import FileFacts, ShardLayout, shard_name, write_shard
from sft.checkpoints.store import Store

PATIENCE_SECONDS = 20 * 60
"""Seconds that rank 0 waits for the parts of other ranks once its own is written. Less than the 30
minutes of a collective (COLLECTIVE_TIMEOUT): the reason is known before the other ranks give up."""
POLL_SECONDS = 0.1


class Save:
    """A save that has begun. Every rank has one, with the same folder."""

    def __init__(
        self,
        partial: Path,
        manifest: CheckpointManifest,
        layout: ShardLayout,
        tensors: Iterable[torch.Tensor],
        store: Store,
        thread: ThreadPoolExecutor,
        world: World,
    ) -> None:
        """Begin to write in the background.

        Args:
            partial: folder that all ranks write into.
            manifest: the manifest, still without its files.
            layout: layout of this rank's file.
            tensors: its content; nobody may change it before `wait_until_written` returns.
            store: publishes the checkpoint.
            thread: this rank's only writing thread. One thread, so that rank 0 publishes after it
                has written its own part.
            world: this rank.
        """
        self.seconds = 0.0
        """Seconds from the beginning until the latest part that this rank knows of was done."""
        self._began = time.monotonic()
        self._partial = partial
        self._manifest = manifest
        self._store = store
        self._world = world
        self._given_up = threading.Event()
        self._part = thread.submit(self._write, layout, tensors)
        self._publication: Future[None] | None = None
        if world.is_main:
            self._publication = thread.submit(self._publish)

    @property
    def failed(self) -> bool:
        """True if this rank already knows that the checkpoint will not be complete."""
        ended = [each for each in (self._part, self._publication) if each and each.done()]
        return any(each.exception() is not None for each in ended)

    def wait_until_written(self) -> None:
        """Wait until the tensors are no longer needed."""
        self._part.exception()

    def end(self) -> None:
        """Wait until the checkpoint is published; every rank calls it.

        Raises:
            UserError: it cannot be. Nothing of it remains, and older checkpoints are untouched.
        """
        publication = self._publication
        try:
            # Two collectives, in this order on every rank: first all parts, then the publication,
            # which only rank 0 can fail at.
            self._world.together(self._part.result)
            self._world.together(publication.result if publication else lambda: None)
        except BaseException as error:
            self._given_up.set()
            if publication:
                # Its thread must have left the folder before the folder goes.
                publication.exception()
                self._store.discard(self._partial)
            if not isinstance(error, UserError):
                raise
            raise UserError(
                f"the checkpoint of step {self._manifest.step} could not be written: {error}; "
                "older checkpoints are complete, and the same command continues from the newest"
            ) from error

    def _write(self, layout: ShardLayout, tensors: Iterable[torch.Tensor]) -> None:
        name = shard_name(self._world.rank)
        facts = write_shard(self._partial / name, layout, tensors)
        note = _note(self._partial / name)
        temporary = note.with_suffix(".unread")
        temporary.write_text(json.dumps(dataclasses.asdict(facts)))
        # Before the note has its name: as soon as it has, rank 0 may rename the folder.
        fsync_folder(self._partial)
        temporary.replace(note)
        self.seconds = time.monotonic() - self._began

    def _publish(self) -> None:
        shards = [self._partial / shard_name(rank) for rank in range(self._world.size)]
        ends_by = time.monotonic() + PATIENCE_SECONDS
        while missing := [path.stem for path in shards if not _note(path).is_file()]:
            if self._given_up.wait(POLL_SECONDS):
                return
            if time.monotonic() > ends_by:
                raise UserError(
                    f"{', '.join(missing)} did not appear in {self._partial} within "
                    f"{PATIENCE_SECONDS // 60} minutes; run.root must be on a file system that all "
                    "machines share"
                )
        files = {}
        for path in shards:
            files[path.name] = FileFacts(**read_json(_note(path)))
            _note(path).unlink()
        self._store.publish(self._partial, dataclasses.replace(self._manifest, files=files))
        self.seconds = time.monotonic() - self._began


def _note(shard: Path) -> Path:
    """Return the file by which a rank reports size and hash of its part once it is written."""
    return shard.with_suffix(".json")
