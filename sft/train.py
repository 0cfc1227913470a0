"""The rank program of fine-tuning.

accelerate launch --use_deepspeed --num_processes 8 -m sft.train data.path=rows.jsonl
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pacos.config import Device
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_USER_ERROR, UserError, exit_with
from pacos.models import load_tokenizer
from pacos.program import live, load_program
from pacos.run_dir import RunDir
from pacos.stop import StopRequest
from sft.config import SCHEMAS, SFTConfig
from sft.records import Records


def main(arguments: Sequence[str]) -> int:
    """Train one run from the command line of one rank; returns the rank's exit code."""
    world = World.from_env()
    set_up_logging(is_main=world.is_main)
    try:
        config, run = load_program(arguments, SFTConfig, SCHEMAS, world)
        _choose_device(config)
    except UserError as error:
        return exit_with(error) if world.is_main else EXIT_USER_ERROR
    return live(run, world, lambda: train(config, run, world))


def _choose_device(config: SFTConfig) -> None:
    """Fix the device, and tell DeepSpeed, which decides at its import."""
    import torch

    if config.cluster.device is Device.cuda and not torch.cuda.is_available():
        raise UserError(
            "cluster.device = cuda: torch sees no GPU here; "
            "use cluster.device=cpu, or install a CUDA build with make setup TORCH_INDEX=…"
        )
    if config.cluster.device is Device.cpu or not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"


def train(config: SFTConfig, run: RunDir, world: World) -> str | None:
    """Build, build, build, fit, export; returns why it stopped before the end, if it did."""
    from sft.checkpoint import Checkpoints
    from sft.engine import build_engine, start_ranks
    from sft.export import export_model
    from sft.loop import Trainer
    from sft.mixture import load_data
    from sft.model import build_model
    from sft.step_plan import StepPlan

    device = start_ranks(world)
    stop = StopRequest(run.stop)
    tokenizer = load_tokenizer(config.model.path, config.model.revision, config.model.pad_token)
    data = load_data(config, tokenizer, world)
    plan = StepPlan.of(data.lengths, config.data.max_length, config.batch, config.model.shape)
    model = build_model(config, tokenizer, device)
    engine = build_engine(model, config, plan.passes(world.size))
    checkpoints = Checkpoints(run.checkpoints, config, world)
    done = checkpoints.load_newest(engine)
    records = Records(config, run, world)
    records.begin(data, plan, done)

    trainer = Trainer(config, data, plan, engine, world)
    try:
        stopped_by = trainer.fit(done, checkpoints, records, stop)
    except BaseException:
        records.failed()
        raise
    records.end()
    if stopped_by is None:
        card = records.model_card(data, trainer.total)
        export_model(engine, tokenizer, config, run.model, card, world)
        records.conclude()
    return stopped_by


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
