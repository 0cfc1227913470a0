"""The check that an engine gets back from a checkpoint exactly what was saved."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from sft.doctor.gradients import small_config, synthetic_rows

if TYPE_CHECKING:
    import torch


def resume(config: SFTConfig, folder: Path, world: World, device: torch.device) -> str:
    """Check that an engine with other weights loads the saved state and computes the same loss.

    Args:
        config: of the run to check.
        folder: where a checkpoint may be written; it is removed again.
        world: this rank.
        device: of this rank.
    """
    small = dataclasses.replace(small_config(config, world, 1), precision=config.precision)
    run = RunPaths(folder / "resume")
    try:
        saved = _EngineSnapshot.take(small, run, world, device, loads=False)
        loaded = _EngineSnapshot.take(small, run, world, device, loads=True)
    finally:
        # No rank may still be reading when rank 0 removes the folder.
        world.barrier()
        if world.is_main:
            shutil.rmtree(run.path, ignore_errors=True)
    if difference := saved.difference(loaded):
        raise UserError(
            f"deepspeed.stage = {small.deepspeed.stage}: {difference} after a resume; install the "
            "tested DeepSpeed, or choose another stage or no offload"
        )
    return (
        f"ZeRO-{small.deepspeed.stage} over {world.size} ranks in {config.precision.name}: state "
        "and next loss equal the saved ones bit for bit"
    )


@dataclasses.dataclass(frozen=True)
class _EngineSnapshot:
    """The state of an engine on one rank, and the loss that it computes next."""

    tensors: dict[str, torch.Tensor]
    updates: int
    next_loss: float

    @classmethod
    def take(
        cls, config: SFTConfig, run: RunPaths, world: World, device: torch.device, *, loads: bool
    ) -> _EngineSnapshot:
        """Take the state of an engine that made a step and saved it, or of one that loads it."""
        import torch

        from sft.checkpoints.engine_state import EngineState
        from sft.checkpoints.protocol import Checkpoints
        from sft.checkpoints.shards import name_of
        from sft.engine.deepspeed import backward, build_engine
        from sft.model.build import build_model
        from sft.model.loss import nll_sum
        from sft.steps.batch import Batch

        model = config.model
        tokenizer = load_tokenizer(model.path, model.revision, model.pad_token)
        # The loading engine begins with other weights: only the checkpoint can make them equal.
        seed = config.seed + 1 if loads else config.seed
        built = build_model(dataclasses.replace(config, seed=seed), tokenizer, device)
        engine = build_engine(built, config, 1)
        checkpoints = Checkpoints(run, config, engine, "doctor", world)
        batch = Batch.of(synthetic_rows(), device)
        if loads:
            checkpoints.load_newest(1)
        else:
            backward(engine, nll_sum(engine, batch), len(batch.targets), world)
            engine.step()
            checkpoints.save(1)
            checkpoints.finish()
        state = EngineState(engine, world, config.optimizer.STATES)
        names = [name_of(span) for span, _ in state.spans()]
        tensors = [tensor.clone() for tensor in state.tensors()]
        engine.eval()
        with torch.no_grad():
            loss = float(nll_sum(engine, batch))
        snapshot = cls(dict(zip(names, tensors, strict=True)), state.updates, loss)
        engine.destroy()
        return snapshot

    def difference(self, other: _EngineSnapshot) -> str:
        """Describe the first difference to another snapshot; empty if there is none."""
        import torch

        unequal = [
            name
            for name, tensor in self.tensors.items()
            if not torch.equal(tensor, other.tensors[name])
        ]
        if unequal:
            return f"{len(unequal)} of {len(self.tensors)} tensors, such as {unequal[0]}, differ"
        if self.updates != other.updates:
            return f"the optimizer has made {other.updates} updates instead of {self.updates}"
        # Equal optimizer states do not imply equal working weights.
        if self.next_loss != other.next_loss:
            return f"the next loss is {other.next_loss} instead of {self.next_loss}"
        return ""
