"""Config of the model that a run leaves, and the request of `pacos export`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Exported(Enum):
    """The weights that a run exports when it ends."""

    last = "last"
    best = "best"


class ExportDtype(Enum):
    """The number format of exported weights."""

    bf16 = "bf16"
    fp32 = "fp32"


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """The model that a finished run leaves in `model/`, always in bf16."""

    checkpoint: Exported = Exported.last
    """`last`: the weights after the last step. `best`: those of the checkpoint with the lowest
    validation loss (see `checkpoint.keep_best`). `pacos export` makes a model of any checkpoint
    later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """The arguments of `pacos export`, as they are handed to the program that has torch."""

    run: str
    """Folder of a training run, or of a pipeline."""
    checkpoint: str = "latest"
    """`latest`, `best`, or the number of a step."""
    dtype: str = ExportDtype.bf16.value
    out: str | None = None
    """Folder of the model; None for one in the run, named after the step."""
    gguf: str | None = None
    """Path of llama.cpp's convert_hf_to_gguf.py; None converts nothing."""
    push: str | None = None
    """Repository on the hub, owner/name; None uploads nothing."""
    public: bool = False
    """True to push to a repository that everyone can read."""

    def out_folder(self, run: Path, step: int) -> Path:
        """Return the folder of the model."""
        if self.out is not None:
            return Path(self.out).expanduser()
        suffix = "" if self.dtype == ExportDtype.bf16.value else f"-{self.dtype}"
        return run / f"model-step-{step:06d}{suffix}"
