"""The commands `pacos selfinstruct`, `sft`, `eval` and `pipeline`: arguments and help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial

from launch.commands.parser import CommandParser
from launch.stage.help import stage_help
from pacos.console import outlive_terminal
from pacos.errors import UserError
from pacos.rank import is_rank

RANK_PROGRAMS = {"selfinstruct": "selfinstruct.run", "sft": "sft.train", "eval": "eval.run"}
"""Program that a launcher starts for each stage."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of a stage's command."""
    parser.accept_overrides()
    parser.more_help = partial(stage_help, parser.prog.split()[-1])
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="run a sweep over KEY=A,B, or search=optuna"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print config, job script and command, and start nothing",
    )
    group = parser.add_argument_group("options of Hydra")
    option = partial(group.add_argument, action=_PassToHydra, dest="hydra_options", default=[])
    option(
        *("-c", "--cfg"),
        choices=("job", "hydra", "all"),
        help="print the composed config and exit; job is the config of the run",
    )
    option("--resolve", nargs=0, help="with --cfg: resolve interpolations")
    option("-p", "--package", metavar="KEY", help="with --cfg: print the part below KEY only")
    option("-cd", "--config-dir", metavar="FOLDER", help="also look for config files in FOLDER")
    option(
        *("-i", "--info"),
        nargs="?",
        const="all",
        metavar="TOPIC",
        choices=("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
        help="print how the config is composed and exit: all (default), config, defaults, "
        "defaults-tree, plugins or searchpath",
    )


class _PassToHydra(argparse.Action):
    """Collects an option with its value, in the order typed, for Hydra's own parser."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        value = [values] if isinstance(values, str) else []
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), option_string, *value])


def run(args: argparse.Namespace) -> int:
    """Run or submit what the command line asks for and return the exit code.

    Raises:
        UserError: the config or the combination of options is wrong, or nothing could be started.
    """
    _refuse_ranks(args.command)
    outlive_terminal()
    # Imports Hydra and most of this package, which `--help` must not wait for.
    from launch.stage.run import run_stage, run_with_hydra

    if args.hydra_options:
        if args.dry_run or args.multirun:
            raise UserError(f"{args.hydra_options[0]} cannot be combined with --dry-run or -m")
        return run_with_hydra(args.command, args.hydra_options, args.overrides)
    return run_stage(args.command, args.overrides, is_sweep=args.multirun, is_dry_run=args.dry_run)


def _refuse_ranks(stage: str) -> None:
    """Refuse to run as a rank: the front end starts ranks, so each would start a whole job."""
    if is_rank():
        raise UserError(
            f"{stage}: a launcher started this as rank {os.environ['RANK']}, but the front "
            f"end starts ranks itself; type pacos {stage} without a launcher, or launch the rank "
            f"program: accelerate launch … -m {RANK_PROGRAMS.get(stage, 'selfinstruct.run')} "
            "KEY=VALUE…"
        )
