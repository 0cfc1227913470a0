"""The `pacos` command: parses the command line and runs one module of `launch.commands`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from launch.commands.parser import CommandParser
from pacos import __version__
from pacos.errors import UserError, disk_problem, exit_with

EXIT_INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that Ctrl-C ended with nothing to save, as shells report it."""

COMMANDS = {
    "selfinstruct": ("stage", "generate instruction data from seed tasks with an LLM"),
    "sft": ("stage", "fine-tune all weights of a model on instruction data"),
    "eval": ("stage", "evaluate a model on benchmarks and compare it with another"),
    "pipeline": ("stage", "run all three stages in sequence and write a report"),
    "plan": ("plan", "estimate memory, disk, time and cost of a training run"),
    "preview": ("preview", "show rows as the model sees them, each token trained or not"),
    "doctor": ("doctor", "check on this machine that a training run would be correct"),
    "prefetch": ("prefetch", "download the models and data sets that a config names"),
    "status": ("status", "show the state of runs and sweeps"),
    "resubmit": ("resubmit", "continue a sweep or a run from its frozen configs"),
    "report": ("report", "write the HTML report of runs and sweeps"),
    "lineage": ("lineage", "show what a run, model or row is made from, and what came of it"),
    "review": ("review", "rate items of a run on a local web page"),
    "export": ("export", "make a model of any checkpoint of a run"),
    "chat": ("chat", "talk to a model in the terminal"),
    "sync": ("sync", "upload what W&B lacks of runs"),
}
"""Module in `launch.commands` and summary of each command. Only the module of the command that is
run gets imported, which keeps `pacos --help` fast."""

EPILOG = """\
selfinstruct, sft, eval and pipeline compose a config with Hydra:
  pacos sft --help           print options, config groups and all keys
  pacos sft --cfg job        print the composed config and exit
  pacos sft --dry-run        print config, job script and command, and start nothing
  pacos sft -m KEY=A,B       run a sweep: one run a point, here or as an array of Slurm jobs
"""


def main() -> int:
    """Run one command and return its exit code (see `pacos.errors`)."""
    # A reader that closes the pipe early, such as `head`, ends this process without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        args = parse(sys.argv[1:] or ["--help"])
        code: int = args.execute(args)
        return code
    except UserError as error:
        return exit_with(error)
    except OSError as error:
        problem = disk_problem(error, Path.cwd())
        if problem is None:
            raise
        return exit_with(problem)
    except KeyboardInterrupt:
        print("\npacos: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; the function to call with the result is its `execute`.

    Raises:
        UserError: the command or its arguments are wrong; the text ends with the usage.
        SystemExit: help or the version was asked for, and is printed.
    """
    parser = CommandParser(
        prog="pacos",
        usage="pacos COMMAND [ARGUMENTS]",
        description="pacos: from a base LLaMA to an instruction-tuned model",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        title="commands",
        description="\n".join(f"{name:<14}{about}" for name, (_, about) in COMMANDS.items()),
        help=argparse.SUPPRESS,
        metavar="COMMAND",
        required=True,
        prog=parser.prog,
    )
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, description=f"{summary.capitalize()}.")
        # The others are declared without arguments, only to be known.
        if name == argv[0]:
            module = importlib.import_module(f"launch.commands.{module_name}")
            command.set_defaults(execute=module.run, command=name)
            module.declare(command)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
