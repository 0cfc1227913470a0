"""The weights in a checkpoint, read without an engine, one parameter at a time."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.protocols import CausalLM
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.shards import WEIGHT, Shards, Span
from sft.configs.compute import Precision

MASTER_DTYPES = {
    Precision.bf16: torch.float32,
    Precision.bf16_states: torch.bfloat16,
    Precision.fp32: torch.float32,
}
"""Number format of the optimizer's copy of the weights."""


class CheckpointWeights:
    """The optimizer's copy of the weights in a checkpoint, from the files of all its ranks."""

    def __init__(
        self,
        folder: Path,
        manifest: CheckpointManifest,
        model: CausalLM,
        precision: Precision,
        world: World,
    ) -> None:
        """Read the headers of the files.

        Args:
            folder: the checkpoint, whose files are known to be undamaged.
            manifest: its manifest.
            model: the model, with or without weights, for the order and shapes of parameters.
            precision: of the run.
            world: this rank; only rank 0 reads.

        Raises:
            UserError: the checkpoint is of another model.
        """
        self._shapes = {name: each.shape for name, each in model.named_parameters()}
        self.sizes = {name: math.prod(shape) for name, shape in self._shapes.items()}
        self._world = world
        self._shards = Shards([folder / name for name in sorted(manifest.files)])
        differences = self._shards.differences([WEIGHT], self.sizes, MASTER_DTYPES[precision])
        if differences:
            raise UserError(f"{folder} does not fit the model: {'; '.join(differences[:3])}")

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor | None:
        """Return a whole parameter on rank 0, rounded as the working weights are in training."""
        if not self._world.is_main:
            return None
        flat = torch.empty(self.sizes[name], dtype=dtype)
        self._shards.copy(Span(WEIGHT, name, 0, len(flat)), flat)
        return flat.view(self._shapes[name])
