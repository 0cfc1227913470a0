"""The folder of a run's checkpoints: complete ones under their names, and no others."""

from __future__ import annotations

import logging
import math
import platform
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pacos.errors import UserError
from pacos.files import atomic_write, fsync_folder, sha256
from pacos.run_paths import LATEST_CHECKPOINT
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.shards import FileFacts
from sft.configs.checkpoint import CheckpointConfig

log = logging.getLogger(__name__)

PARTIAL = ".tmp"
"""Suffix of folders that are being written or removed; useless after a crash."""
BROKEN = ".broken"
"""Suffix of checkpoints that were found damaged. They are never removed."""


class Store:
    """Checkpoints by step. Only rank 0 changes anything."""

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder = folder
        self._config = config

    def all(self) -> list[Path]:
        """Return the folders of the checkpoints, the oldest first."""
        folders = [path for path in self.folder.glob("step-*") if path.name[5:].isdigit()]
        # By number: six digits sort as text only up to step 999,999.
        return sorted(folders, key=lambda path: int(path.name[5:]))

    def begin(self, step: int) -> Path:
        """Create the folder that the ranks write into.

        Its name has never been used. Network file systems of other machines may cache an old
        folder's content under an old name, and a rank of an abandoned life that still runs must
        not write into a new checkpoint.
        """
        partial = self.folder / f"step-{step:06d}.{secrets.token_hex(3)}{PARTIAL}"
        partial.mkdir(parents=True)
        return partial

    def publish(self, partial: Path, manifest: CheckpointManifest) -> None:
        """Rename a complete checkpoint into place, and remove those that need not be kept.

        Raises:
            OSError: something cannot be written.
        """
        manifest.write(partial)
        final = self.folder / f"step-{manifest.step:06d}"
        if final.exists():
            self._remove(final)
        partial.rename(final)
        # Without the fsync a power failure could undo the rename, but keep the removals below.
        fsync_folder(self.folder)
        self.point_at(final)
        for path in self._superfluous():
            self._remove(path)

    def point_at(self, newest: Path | None) -> None:
        """Write the name of the newest checkpoint to `latest`."""
        latest = self.folder / LATEST_CHECKPOINT
        if newest is None:
            latest.unlink(missing_ok=True)
        else:
            atomic_write(latest, f"{newest.name}\n")

    def _superfluous(self) -> list[Path]:
        """Return all checkpoints but the `keep` newest and the best."""
        older = self.all()[: -self._config.keep]
        if not self._config.keep_best:
            return older
        losses = {path: _validation_loss(path) for path in self.all()}
        best = min(losses, key=losses.__getitem__)
        return [path for path in older if path != best or losses[best] == math.inf]

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint, renamed first: a crash never leaves half of one under its name."""
        partial = path.with_name(path.name + PARTIAL)
        path.rename(partial)
        shutil.rmtree(partial)

    def clean(self) -> None:
        """Remove what a crash left half written or half removed."""
        for path in self.folder.glob(f"*{PARTIAL}"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def discard(self, partial: Path) -> None:
        """Remove a checkpoint that cannot be finished."""
        shutil.rmtree(partial, ignore_errors=True)

    def newest(self) -> tuple[Path, CheckpointManifest] | None:
        """Return the newest checkpoint that has all its files; set incomplete ones aside.

        The content of the files is not examined here: all ranks share that work (`damage`).

        Raises:
            UserError: another version of pacos wrote it.
        """
        return next(self._whole(), None)

    def best(self) -> tuple[Path, CheckpointManifest] | None:
        """Return the checkpoint with the lowest validation loss; None if none was measured.

        Like `newest`, it sets incomplete ones aside and examines no content.

        Raises:
            UserError: another version of pacos wrote one.
        """
        whole = [each for each in self._whole() if each[1].measured_loss < math.inf]
        return min(reversed(whole), key=lambda each: each[1].measured_loss, default=None)

    def _whole(self) -> Iterator[tuple[Path, CheckpointManifest]]:
        """Yield the checkpoints that have all their files, the newest first."""
        for path in reversed(self.all()):
            try:
                manifest = CheckpointManifest.read(path)
                missing = missing_files(path, manifest)
            except (OSError, ValueError) as error:
                self.quarantine(path, [str(error)])
                continue
            if missing:
                self.quarantine(path, missing)
            else:
                yield path, manifest

    def quarantine(self, path: Path, faults: list[str]) -> None:
        """Set a broken checkpoint aside under another name, and log why."""
        aside = path.with_name(path.name + BROKEN)
        while aside.exists():
            aside = path.with_name(f"{path.name}.{secrets.token_hex(3)}{BROKEN}")
        path.rename(aside)
        fsync_folder(self.folder)
        log.error(f"{path} is broken ({'; '.join(faults)}); it is kept as {aside.name}")

    def require_room(self, size: int, saves: int, *, measured: bool) -> None:
        """Check that the disk has room for the checkpoints to come.

        Args:
            size: bytes of a checkpoint.
            saves: number of saves to come.
            measured: True if validation loss is measured, so that the best may be kept as well.

        Raises:
            UserError: the disk is too small.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        existing = len(self.all())
        most = min(self._config.most_copies(measured=measured), existing + saves)
        # At least one more: the next is written before an old one is removed.
        needed = size * max(most - existing, min(saves, 1))
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"checkpoint.keep = {self._config.keep}: {self.folder} must hold {most} "
                f"checkpoints of {_gib(size)} at a time and has {existing}; {_gib(needed)} are "
                f"needed and {_gib(free)} are free: free space, lower checkpoint.keep, or move "
                "the run to a larger disk"
            )


def missing_files(folder: Path, manifest: CheckpointManifest) -> list[str]:
    """Return what a checkpoint lacks, in words."""
    return [f"{name} is missing" for name in manifest.files if not (folder / name).is_file()]


def damage(folder: Path, files: dict[str, FileFacts]) -> list[str]:
    """Return what is wrong with some files of a checkpoint.

    Raises:
        UserError: this machine does not see a file that rank 0 sees.
    """
    faults = []
    for name, facts in files.items():
        try:
            size = (folder / name).stat().st_size
            if size != facts.bytes:
                faults.append(f"{name} has {size} bytes instead of {facts.bytes}")
            elif sha256(folder / name) != facts.sha256:
                faults.append(f"{name} has changed since it was written: its SHA-256 differs")
        except FileNotFoundError as error:
            # Not a fault of the checkpoint: setting it aside would cost the run its progress.
            raise UserError(
                f"{folder / name}: rank 0 sees it, {platform.node()} does not; run.root must be on "
                "a file system that all machines share"
            ) from error
        except OSError as error:
            faults.append(f"{name} cannot be read: {error.strerror}")
    return faults


def _validation_loss(path: Path) -> float:
    """Return the validation loss of a checkpoint; infinity if there is none."""
    try:
        return CheckpointManifest.read(path).measured_loss
    except (OSError, ValueError, UserError):
        return math.inf


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2f} GiB"
