"""One save under way: what this rank's thread writes, and on rank 0 the publication."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import read_json, write_json
from sft.checkpoints.manifest import Manifest
from sft.checkpoints.shards import FileFacts, Layout, shard_name, write_shard
from sft.checkpoints.store import Store

PATIENCE_SECONDS = 20 * 60
"""How long rank 0 waits for the parts of others when its own is written: less than collectives wait
for rank 0."""
POLL_SECONDS = 0.1


class Save:
    """A save that has begun. Every rank has one, with the same folder."""

    def __init__(
        self,
        partial: Path,
        manifest: Manifest,
        layout: Layout,
        tensors: Iterable[torch.Tensor],
        store: Store,
        thread: ThreadPoolExecutor,
        world: World,
    ) -> None:
        """Begin to write.

        Args:
            partial: folder that all ranks write into.
            manifest: without its files.
            layout: of this rank's file.
            tensors: for it; nobody changes them before `written`.
            store: that publishes it.
            thread: the one of this rank.
            world: this rank.
        """
        self.seconds = 0.0
        """From its beginning until its newest part was there."""
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
        """Whether this rank knows already that it will not be whole."""
        ended = [each for each in (self._part, self._publication) if each and each.done()]
        return any(each.exception() is not None for each in ended)

    def written(self) -> None:
        """Wait until the tensors are no longer needed."""
        self._part.exception()

    def end(self) -> None:
        """Wait until it is published; every rank calls it.

        Raises:
            UserError: it cannot be. Nothing of it is left, and what was there before is untouched.
        """
        publication = self._publication
        try:
            self._world.together(self._part.result)
            self._world.together(publication.result if publication else lambda: None)
        except BaseException as error:
            self._given_up.set()
            if publication:
                publication.exception()
                self._store.discard(self._partial)
            if not isinstance(error, UserError):
                raise
            raise UserError(
                f"the checkpoint of step {self._manifest.step} was not written: {error}; those "
                "before it are whole, and the same command goes on from the newest"
            ) from error

    def _write(self, layout: Layout, tensors: Iterable[torch.Tensor]) -> None:
        name = shard_name(self._world.rank)
        facts = write_shard(self._partial / name, layout, tensors)
        write_json(_note(self._partial / name), dataclasses.asdict(facts))
        self.seconds = time.monotonic() - self._began

    def _publish(self) -> None:
        shards = [self._partial / shard_name(rank) for rank in range(self._world.size)]
        ends_by = time.monotonic() + PATIENCE_SECONDS
        while missing := [path.stem for path in shards if not _note(path).is_file()]:
            if self._given_up.wait(POLL_SECONDS):
                return
            if time.monotonic() > ends_by:
                raise UserError(
                    f"{', '.join(missing)} did not come into {self._partial} within "
                    f"{PATIENCE_SECONDS // 60} minutes; run.root has to be on a file system that "
                    "all machines share"
                )
        files = {}
        for path in shards:
            files[path.name] = FileFacts(**read_json(_note(path)))
            _note(path).unlink()
        self._store.publish(self._partial, dataclasses.replace(self._manifest, files=files))
        self.seconds = time.monotonic() - self._began


def _note(shard: Path) -> Path:
    """By which a rank tells that its part is written, and what it is like."""
    return shard.with_suffix(".json")
