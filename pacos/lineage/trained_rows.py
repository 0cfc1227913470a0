"""The rows of a training run: the record, the content and the steps of each."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.files import atomic_write

DTYPES: dict[str, Any] = {
    "sources": np.int16,
    "numbers": np.int64,
    "contents": np.uint64,
    "steps": np.int32,
}


@dataclass(frozen=True, slots=True)
class TrainedRows:
    """The rows of an epoch, as `rows.npz` of a run keeps them: 30 bytes each with three epochs."""

    sources: NDArray[np.int16]
    """[rows]: index of each row's data set in `SourceConfig.all_of`."""
    numbers: NDArray[np.int64]
    """[rows]: number of each row's record in its data set."""
    contents: NDArray[np.uint64]
    """[rows]: hash of each row's record (`pacos.data.example.content_hash`)."""
    steps: NDArray[np.int32]
    """[epochs, rows]: step that trains on each row; 0 if the run ends before it."""

    def write(self, path: Path) -> None:
        """Write the arrays into one file, atomically."""
        arrays: dict[str, Any] = {
            name: np.asarray(getattr(self, name), dtype) for name, dtype in DTYPES.items()
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        atomic_write(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> TrainedRows:
        """Read what `write` wrote.

        Raises:
            OSError: there is no such file.
        """
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in DTYPES})

    def of_step(self, step: int) -> NDArray[np.intp]:
        """Return the rows of a step."""
        return np.flatnonzero((self.steps == step).any(axis=0))

    def steps_of(self, content: int) -> list[int]:
        """Return the steps that train on a content, in order; none if no row has it."""
        steps = self.steps[:, self.contents == np.uint64(content)]
        return sorted({int(step) for step in steps.flat if step})
