"""The model that a run leaves when it ends: of its last step, or of its best checkpoint."""

from __future__ import annotations

import dataclasses
import logging

import deepspeed
import torch

from pacos.distributed import World
from pacos.model.protocols import Tokenizer
from pacos.run_paths import RunPaths
from sft.checkpoints.protocol import Checkpoints
from sft.config import SFTConfig
from sft.configs.export import Exported
from sft.engine.deepspeed import COLLECTIVE_TIMEOUT
from sft.engine.private_state import full_numel
from sft.engine.protocol import Engine
from sft.export.card import card_of_run
from sft.export.checkpoint import CheckpointWeights
from sft.export.writer import Origin, Weights, write_model
from sft.model.skeleton import build_skeleton
from sft.rank_context import RankContext

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


def export_run(
    engine: Engine,
    tokenizer: Tokenizer,
    config: SFTConfig,
    run: RunPaths,
    checkpoints: Checkpoints,
    origin: Origin,
    rank: RankContext,
) -> None:
    """Write the model that the config asks for into the run, in bf16.

    Every rank calls it: the weights of the last step are gathered from all ranks.

    Args:
        engine: DeepSpeed's engine, after the last step.
        tokenizer: of the model.
        config: of the run.
        run: paths of the run.
        checkpoints: of the run.
        origin: the weights of the last step.
        rank: this rank.

    Raises:
        Stopped: on every rank, before one of the files. The checkpoint of the last step exists by
            then, and the next life exports again.
        UserError: the best checkpoint is asked for, and none was measured.
    """
    world, model = rank.world, engine.module
    weights: Weights = EngineWeights(engine, config.deepspeed.stage, world)
    if config.export.checkpoint is Exported.best:
        # Hashing the files of a 70B model takes many minutes.
        rank.watchdog.beat("best checkpoint", at_least=COLLECTIVE_TIMEOUT.total_seconds())
        folder, manifest = checkpoints.best()
        # The engine has the weights of the last step already.
        if manifest.step != origin.step:
            origin = dataclasses.replace(origin, step=manifest.step)
            model = build_skeleton(config.model, tokenizer)
            weights = CheckpointWeights(folder, manifest, model, config.precision, world)
    # Of the records: rank 0 writes them.
    card = card_of_run(run, origin) if world.is_main else ""
    stop = rank.stop.during("export")
    write_model(run.model, model, weights, tokenizer, config, card, origin, world=world, stop=stop)
    if world.is_main:
        log.info(f"model of step {origin.step} exported to {run.model}")
