"""The folder of a run's checkpoints: whole ones under their names, and no others."""

from __future__ import annotations

import logging
import math
import platform
import secrets
import shutil
from pathlib import Path

from pacos.errors import UserError
from pacos.files import atomic_write, fsync_folder, sha256
from pacos.run_paths import LATEST_CHECKPOINT
from sft.checkpoints.manifest import Manifest
from sft.checkpoints.shards import FileFacts
from sft.configs.checkpoint import CheckpointConfig

log = logging.getLogger(__name__)

PARTIAL = ".tmp"
"""End of the name of what is being written or removed: of no use after a crash."""
BROKEN = ".broken"
"""End of the name of what was found damaged. It is never removed."""


class Store:
    """Checkpoints by step. Rank 0 alone changes anything."""

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder = folder
        self._config = config

    def all(self) -> list[Path]:
        """Folders of the checkpoints, the oldest first."""
        found = [path for path in self.folder.glob("step-*") if path.name[5:].isdigit()]
        return sorted(found, key=lambda path: int(path.name[5:]))

    def begin(self, step: int) -> Path:
        """Make the folder into which the ranks write.

        Its name was never used: other machines' file systems remember nothing of it, and a rank of
        a life that was given up, if it still runs, writes elsewhere.
        """
        partial = self.folder / f"step-{step:06d}.{secrets.token_hex(3)}{PARTIAL}"
        partial.mkdir(parents=True)
        return partial

    def publish(self, partial: Path, manifest: Manifest) -> None:
        """Give a whole checkpoint its name, and remove those that need not be kept.

        Raises:
            OSError: it cannot be written.
        """
        manifest.write(partial)
        final = self.folder / f"step-{manifest.step:06d}"
        if final.exists():
            self._remove(final)
        partial.rename(final)
        fsync_folder(self.folder)
        self.point_at(final)
        for path in self._superfluous():
            self._remove(path)

    def point_at(self, newest: Path | None) -> None:
        """Say which one is the newest."""
        latest = self.folder / LATEST_CHECKPOINT
        if newest is None:
            latest.unlink(missing_ok=True)
        else:
            atomic_write(latest, f"{newest.name}\n")

    def _superfluous(self) -> list[Path]:
        """All but the newest, and the best."""
        older = self.all()[: -self._config.keep]
        if not self._config.keep_best:
            return older
        losses = {path: _validation_loss(path) for path in self.all()}
        best = min(losses, key=losses.__getitem__)
        return [path for path in older if path != best or losses[best] == math.inf]

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint; a crash meanwhile leaves no half of one under its name."""
        going = path.with_name(path.name + PARTIAL)
        path.rename(going)
        shutil.rmtree(going)

    def clean(self) -> None:
        """Remove what a crash left half written or half removed."""
        for path in self.folder.glob(f"*{PARTIAL}"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def discard(self, partial: Path) -> None:
        """Give up a checkpoint that cannot be finished."""
        shutil.rmtree(partial, ignore_errors=True)

    def newest(self) -> tuple[Path, Manifest] | None:
        """The newest checkpoint with all its files; those that miss any are set aside.

        Whether the files hold what they must is not looked at.

        Raises:
            UserError: it is of another version of pacos.
        """
        for path in reversed(self.all()):
            try:
                manifest = Manifest.read(path)
                missing = [name for name in manifest.files if not (path / name).is_file()]
            except (OSError, ValueError) as error:
                self.quarantine(path, [str(error)])
                continue
            if not missing:
                return path, manifest
            self.quarantine(path, [f"{name} is missing" for name in missing])
        return None

    def quarantine(self, path: Path, faults: list[str]) -> None:
        """Set a broken checkpoint aside, and say so."""
        aside = path.with_name(path.name + BROKEN)
        while aside.exists():
            aside = path.with_name(f"{path.name}.{secrets.token_hex(3)}{BROKEN}")
        path.rename(aside)
        fsync_folder(self.folder)
        log.error(f"{path} is broken ({'; '.join(faults)}); it is kept as {aside.name}")

    def require_room(self, size: int, saves: int, *, measured: bool) -> None:
        """Find out whether the disk is large enough.

        Args:
            size: bytes of a checkpoint.
            saves: how many are to come.
            measured: whether there is a validation loss.

        Raises:
            UserError: it is not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        there = len(self.all())
        most = min(self._config.most_copies(measured=measured), there + saves)
        needed = size * max(most - there, min(saves, 1))
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"checkpoint.keep = {self._config.keep}: {most} checkpoints of {_size(size)} have "
                f"to fit beside each other into {self.folder}; {there} are there, and "
                f"{_size(free)} are free where {_size(needed)} are needed: free space, lower "
                "checkpoint.keep, or move the run to a larger disk"
            )


def damage(folder: Path, files: dict[str, FileFacts]) -> list[str]:
    """What is wrong with some files of a checkpoint.

    Raises:
        UserError: a file that rank 0 has seen is not there on this machine.
    """
    found = []
    for name, facts in files.items():
        try:
            size = (folder / name).stat().st_size
            if size != facts.bytes:
                found.append(f"{name} has {size} bytes instead of {facts.bytes}")
            elif sha256(folder / name) != facts.sha256:
                found.append(f"{name} does not hold what was written: its SHA-256 differs")
        except FileNotFoundError as error:
            raise UserError(
                f"{folder / name}: rank 0 sees it, {platform.node()} does not; run.root has to be "
                "on a file system that all machines share"
            ) from error
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}")
    return found


def _validation_loss(path: Path) -> float:
    """Infinite where none was measured."""
    try:
        loss = Manifest.read(path).validation_loss
    except (OSError, ValueError, UserError):
        return math.inf
    return math.inf if loss is None or math.isnan(loss) else loss


def _size(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"
