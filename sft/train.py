"""The rank program of fine-tuning: config and device first, then `sft.finetune`.

accelerate launch --use_deepspeed --num_processes 8 -m sft.train data.path=rows.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_USER_ERROR, UserError, exit_with
from pacos.rank import end_with_parent, is_rank
from pacos.run.program import live, load_program
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from sft.config import SCHEMAS, SFTConfig
from sft.engine.device import choose_device


def main(arguments: Sequence[str]) -> int:
    """Train one run from the command line of one rank; return the rank's exit code."""
    world = World.from_env()
    if is_rank():
        end_with_parent()
    set_up_logging(is_main=world.is_main)
    try:
        config, run = load_program(arguments, SFTConfig, SCHEMAS, world)
        request = StopRequest(run.stop)
        choose_device(config.cluster)
    except UserError as error:
        # Every rank finds the same mistake; one of them reports it.
        return exit_with(error) if world.is_main else EXIT_USER_ERROR
    return live(
        run,
        world,
        lambda: _finetune(config, run, world, request),
        fruitless_lives=config.health.fruitless_lives,
    )


def _finetune(config: SFTConfig, run: RunPaths, world: World, request: StopRequest) -> None:
    # Imported only now: torch, transformers and DeepSpeed take seconds, and a mistake in the
    # config should be reported at once. DeepSpeed also needs the device to be chosen before.
    from sft.finetune import finetune

    finetune(config, run, world, request)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
