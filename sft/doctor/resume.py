"""The proof that what a checkpoint keeps is what an engine gets back."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from pacos.distributed import World
from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from sft.doctor.gradients import proof_rows, small_config


def resume(config: SFTConfig, folder: Path, world: World, device: Any) -> str:
    """An engine that begins otherwise, and loads, has the state and the next loss of the one saved.

    Args:
        config: of the run to be.
        folder: where a checkpoint can be written for a moment.
        world: this rank.
        device: of this rank.
    """
    small = dataclasses.replace(small_config(config, world, 1), precision=config.precision)
    run = RunPaths(folder / "resume")
    try:
        saved = _State.of(small, small.seed, run, world, device, loads=False)
        again = _State.of(small, small.seed + 1, run, world, device, loads=True)
    finally:
        world.barrier()
        if world.is_main:
            shutil.rmtree(run.path, ignore_errors=True)
    if differing := saved.differing(again):
        raise UserError(
            f"deepspeed.stage = {small.deepspeed.stage}: {differing} after a resume; install the "
            "tested DeepSpeed, or choose another stage or no offload"
        )
    return (
        f"ZeRO-{small.deepspeed.stage} over {world.size} ranks in {config.precision.name}: state "
        "and next loss are bit for bit those that were saved"
    )


@dataclasses.dataclass(frozen=True)
class _State:
    """Of one rank of an engine."""

    tensors: dict[str, Any]
    updates: int
    next_loss: float

    @classmethod
    def of(
        cls, config: SFTConfig, seed: int, run: RunPaths, world: World, device: Any, *, loads: bool
    ) -> _State:
        """Of an engine that made a step and saved, or of one that only loads."""
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
        built = build_model(dataclasses.replace(config, seed=seed), tokenizer, device)
        engine = build_engine(built, config, 1)
        checkpoints = Checkpoints(run, config, engine, "proof", world)
        batch = Batch.of(proof_rows(), device)
        if loads:
            checkpoints.load_newest(1)
        else:
            backward(engine, nll_sum(engine, batch), len(batch.targets), world)
            engine.step()
            checkpoints.save(1)
            checkpoints.finish()
        state = EngineState(engine, world)
        names = [name_of(span) for span, _ in state.spans()]
        kept = [tensor.clone() for tensor in state.tensors()]
        engine.eval()
        with torch.no_grad():
            loss = float(nll_sum(engine, batch))
        found = cls(dict(zip(names, kept, strict=True)), state.updates, loss)
        engine.destroy()
        return found

    def differing(self, other: _State) -> str:
        """What is not the same, in words; empty if all is."""
        import torch

        wrong = [
            name
            for name, tensor in self.tensors.items()
            if not torch.equal(tensor, other.tensors[name])
        ]
        if wrong:
            return f"{len(wrong)} of {len(self.tensors)} tensors, such as {wrong[0]}, differ"
        if self.updates != other.updates:
            return f"the optimizer has made {other.updates} updates instead of {self.updates}"
        if self.next_loss != other.next_loss:
            return f"the next loss is {other.next_loss} instead of {self.next_loss}"
        return ""
