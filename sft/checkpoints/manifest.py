"""What a checkpoint says of itself: where the run stood, and which files make it whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from pacos.errors import UserError
from pacos.files import read_json, write_json
from sft.checkpoints.shards import FileFacts

MANIFEST = "manifest.json"
DIGEST = "sha256"
"""Key of the digest of everything else in the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The manifest of one checkpoint."""

    step: int
    """Steps made: the place in the data too, because a step's rows follow from seed and number."""
    updates: int
    """Steps that changed the weights."""
    identity: str
    """Of the run's config."""
    data: str
    """Digest of the rows trained on."""
    world_size: int
    stage: int
    """ZeRO stage."""
    wandb_id: str | None
    """The run at W&B, where it is tracked there."""
    validation_loss: float | None
    """Measured after this step; None if it was not."""
    files: dict[str, FileFacts]
    """By name."""
    time: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def write(self, folder: Path) -> None:
        """Write it, with a digest of itself."""
        content = dataclasses.asdict(self)
        write_json(folder / MANIFEST, {**content, DIGEST: _digest(content)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read it.

        Raises:
            OSError: there is none.
            ValueError: it is damaged.
            UserError: it is of another version of pacos.
        """
        content = read_json(folder / MANIFEST)
        if not isinstance(content, dict) or content.pop(DIGEST, None) != _digest(content):
            raise ValueError(f"{MANIFEST} is not as it was written")
        if content.keys() != {item.name for item in dataclasses.fields(cls)}:
            raise UserError(
                f"{folder} was written by another version of pacos; go on with that one, or start "
                "a run with another run.name"
            )
        files = {name: FileFacts(**facts) for name, facts in content.pop("files").items()}
        if any(Path(name).name != name for name in files):
            raise ValueError(f"{MANIFEST} names files outside its folder")
        return cls(**content, files=files)


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
