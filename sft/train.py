"""The rank program of fine-tuning.

accelerate launch --use_deepspeed --num_processes 8 -m sft.train data.path=rows.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_USER_ERROR, UserError, exit_with
from pacos.rank import end_with_parent, is_rank
from pacos.run.program import live, load_program
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from sft.config import SCHEMAS, SFTConfig
from sft.data.tokenizer import build_tokenizer
from sft.engine.device import choose_device
from sft.monitor.wall_time import WallTime
from sft.monitor.watchdog import Watchdog
from sft.records import Records


def main(arguments: Sequence[str]) -> int:
    """Train one run from the command line of one rank; returns the rank's exit code."""
    world = World.from_env()
    if is_rank():
        end_with_parent()
    set_up_logging(is_main=world.is_main)
    try:
        config, run = load_program(arguments, SFTConfig, SCHEMAS, world)
        request = StopRequest(run.stop)
        choose_device(config.cluster)
    except UserError as error:
        return exit_with(error) if world.is_main else EXIT_USER_ERROR
    return live(
        run,
        world,
        lambda: train(config, run, world, request),
        fruitless_lives=config.health.fruitless_lives,
    )


def train(config: SFTConfig, run: RunPaths, world: World, request: StopRequest) -> None:
    """Build, build, build, fit, export.

    Raises:
        Stopped: the run was asked to stop before its end, and is saved.
    """
    wall = WallTime()
    from sft.checkpoints.protocol import Checkpoints
    from sft.data.mixture import load_data, split_heldout
    from sft.engine.deepspeed import build_engine, start_ranks
    from sft.export.model import export_model
    from sft.model.build import build_model
    from sft.monitor.stopping import Stopping
    from sft.steps.plan import StepPlan
    from sft.trainer import Trainer
    from sft.validation.heldout import Validation
    from sft.validation.inloop import InLoop

    device = start_ranks(world)
    watchdog = Watchdog.of(run, world, config.health.hang_seconds)
    stopping = Stopping(request, world, device, watchdog)
    tokenizer = build_tokenizer(config.model)
    with stopping.afterwards("tokens"):
        rows = load_data(config, tokenizer, world, request.check)
    data, held = split_heldout(rows, config.validation.rows, config.seed)
    plan = StepPlan.of(data.lengths, config.data.max_length, config.batch, config.model.shape)
    model = build_model(config, tokenizer, device)
    passes = plan.passes(config.deepspeed.data_ranks(world.size))
    engine = build_engine(model, config, passes)
    checkpoints = Checkpoints(run, config, engine, world.on_main(data.digest), world)
    trainer = Trainer(config, data, plan, engine, checkpoints, world, stopping, watchdog)
    done = checkpoints.load_newest(trainer.total)
    records = Records(config, run, world, wall)
    records.begin(data, plan, done, watchdog.hosts)

    check = partial(stopping.check, "validation")
    validation = Validation(config, held, engine, tokenizer, records.samples, world, check)
    measured = InLoop(config, validation, engine, tokenizer, world, stopping)
    with records.kept(), watchdog:
        trainer.fit(done, measured, records)
        card = records.model_card(data, trainer.total)
        with wall.on("export"):
            check = partial(stopping.check, "export")
            export_model(engine, tokenizer, config, run.model, card, world, check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
