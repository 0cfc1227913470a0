"""The manifest of a checkpoint: where the run stood, and the files that make it complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from pacos.errors import UserError
from pacos.files import read_json, write_json
from sft.checkpoints.shards import FileFacts

MANIFEST = "manifest.json"
DIGEST = "sha256"
"""Key of the digest of all other keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointManifest:
    """The content of a checkpoint's manifest.json."""

    step: int
    """Steps made. It is the position in the data too: seed and step number give a step's rows."""
    updates: int
    """Steps that changed the weights."""
    identity: str
    """Identity of the run's config."""
    data: str
    """Digest of the rows trained on."""
    world_size: int
    stage: int
    """ZeRO stage."""
    wandb_id: str | None
    """Id of the W&B run; None if W&B does not track it."""
    validation_loss: float | None
    """Validation loss after this step; None if it was not measured."""
    files: dict[str, FileFacts]
    """Name to size and hash."""
    time: float = field(default_factory=time.time)
    """Seconds since 1970."""

    @property
    def measured_loss(self) -> float:
        """Validation loss; infinity if it was not measured or not a number."""
        loss = self.validation_loss
        return math.inf if loss is None or math.isnan(loss) else loss

    def write(self, folder: Path) -> None:
        """Write the manifest with a digest of itself."""
        content = dataclasses.asdict(self)
        write_json(folder / MANIFEST, {**content, DIGEST: _digest(content)})

    @classmethod
    def read(cls, folder: Path) -> CheckpointManifest:
        """Read the manifest of a checkpoint.

        Raises:
            OSError: there is none.
            ValueError: it is damaged.
            UserError: another version of pacos wrote it.
        """
        content = read_json(folder / MANIFEST)
        if not isinstance(content, dict) or content.pop(DIGEST, None) != _digest(content):
            raise ValueError(f"{MANIFEST} is damaged: its digest differs")
        # After the digest: only an undamaged manifest with other keys is one of another version.
        if content.keys() != {item.name for item in dataclasses.fields(cls)}:
            raise UserError(
                f"{folder} was written by another version of pacos; continue with that version, or "
                "start a run with another run.name"
            )
        files = {name: FileFacts(**facts) for name, facts in content.pop("files").items()}
        if any(Path(name).name != name for name in files):
            raise ValueError(f"{MANIFEST} names files outside its folder")
        return cls(**content, files=files)


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
