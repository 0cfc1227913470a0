"""The model that a run leaves when it ends: of its last step, or of its best checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import deepspeed
import torch

from pacos.distributed import World
from pacos.model.protocols import Tokenizer
from pacos.run.stop import NEVER_STOP, StopCheck
from sft.config import SFTConfig
from sft.engine.private_state import full_numel
from sft.engine.protocol import Engine
from sft.export.writer import write_model

log = logging.getLogger(__name__)


class EngineWeights:
    """The weights in an engine, gathered from all ranks."""

    def __init__(self, engine: Engine, stage: int, world: World) -> None:
        """Prepare to gather.

        Args:
            engine: DeepSpeed's engine.
            stage: its ZeRO stage.
            world: this rank; only rank 0 keeps what is gathered.
        """
        self._parameters = dict(engine.module.named_parameters())
        self._divided = stage == 3
        self._world = world
        self.sizes = {name: full_numel(each) for name, each in self._parameters.items()}

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor | None:
        """Return a whole parameter on rank 0; every rank calls it."""
        parameter = self._parameters[name]
        with deepspeed.zero.GatheredParameters([parameter], enabled=self._divided):
            if not self._world.is_main:
                return None
            # ZeRO-3 frees a gathered parameter when the context ends, so it is copied; without
            # ZeRO-3, a copy on the CPU would double the model's memory.
            return parameter.detach().to("cpu", dtype, copy=self._divided).contiguous()


def export_model(
    engine: Engine,
    tokenizer: Tokenizer,
    config: SFTConfig,
    folder: Path,
    card: str,
    world: World,
    stop: StopCheck = NEVER_STOP,
) -> None:
    """Write the engine's weights as a model in bf16.

    Every rank must call it: under ZeRO-3 each parameter is gathered from all ranks.

    Args:
        engine: DeepSpeed's engine.
        tokenizer: of the model.
        config: of the run.
        folder: the model directory.
        card: its README.md.
        world: this rank.
        stop: asked before each file; must stop every rank or none.

    Raises:
        Stopped: on every rank, before one of the files. The checkpoint of the last step exists by
            then, and the next life exports again.
    """
    weights = EngineWeights(engine, config.deepspeed.stage, world)
    write_model(folder, engine.module, weights, tokenizer, config, card, world=world, stop=stop)
    if world.is_main:
        log.info("model exported to %s", folder)
