"""The `pacos` command: it composes, checks, freezes and dispatches; children do the work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError, exit_with

STAGES = ("selfinstruct", "sft", "eval", "pipeline")

EXIT_INTERRUPTED = 128 + signal.SIGINT
"""Ctrl-C where there is nothing to save: what a shell says of a program that it ended."""


def main() -> int:
    """Entry point of `pacos`; returns its exit code (see `pacos.errors`)."""
    # A reader that has seen enough, such as `head`, ends this process without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    arguments = sys.argv[1:]
    command = arguments[0] if arguments else "--help"
    try:
        if command in ("--help", "-h"):
            return _show_overview()
        if command == "--version":
            from pacos import __version__

            print(__version__)
            return EXIT_DONE
        if command in STAGES:
            return _stage(command, arguments[1:])
        if command in OTHERS:
            return OTHERS[command](arguments[1:])
        known = ", ".join((*STAGES, *OTHERS))
        raise UserError(f"{command}: no such command; choose one of: {known}")
    except UserError as error:
        return exit_with(error)
    except KeyboardInterrupt:
        print("\npacos: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _show_overview() -> int:
    from launch.help import overview

    print(overview())
    return EXIT_DONE


def _stage(name: str, arguments: Sequence[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        from launch.help import stage_help

        print(stage_help(name))
        return EXIT_DONE
    _refuse_ranks(name)
    from launch.commands.stage import run_stage
    from pacos.terminal import outlive_terminal

    outlive_terminal()

    return run_stage(name, arguments)


def _refuse_ranks(name: str) -> None:
    """The front starts ranks; as a rank it would start a whole job in each of them."""
    from pacos.rank import is_rank

    if is_rank():
        program = {"sft": "sft.train", "eval": "eval.run"}.get(name, "selfinstruct.run")
        raise UserError(
            f"pacos {name} was started as rank {os.environ['RANK']} of a launcher; ranks never run "
            f"the front. Type pacos {name} by itself, or launch the rank program: "
            f"accelerate launch … -m {program} KEY=VALUE…"
        )


def _report(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h"):
        print("usage: pacos report RUN|SWEEP…   write report.html there, one page by itself each")
        return EXIT_DONE if arguments else EXIT_USER_ERROR
    from pathlib import Path

    from launch.report.page import write_report
    from launch.report.sweep import write_sweep_report
    from launch.status.read import named
    from launch.sweep import Sweep

    for found in [named(Path(word)) for word in arguments]:
        if isinstance(found, Sweep):
            print(write_sweep_report(found))
        else:
            print(write_report(found.path))
    return EXIT_DONE


def _chat(arguments: Sequence[str]) -> int:
    wants_help = arguments in (["--help"], ["-h"])
    if wants_help or len(arguments) != 1:
        print(
            "usage: pacos chat RUN|MODEL   talk to a run's model, or to any other\n\n"
            "Line by line: /reset begins a new conversation, Ctrl-C cuts an answer, Ctrl-D ends.\n"
            "Lines from a pipe are answered one after another."
        )
        return EXIT_DONE if wants_help else EXIT_USER_ERROR
    # The conversation takes this process's place, and with it the terminal and its signals.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, [sys.executable, "-m", "sft.chat", *arguments], environment)


def _doctor(arguments: Sequence[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        print(
            "usage: pacos doctor KEY=VALUE…   with the words of a pacos sft command\n\n"
            "Proves on this machine, in under a minute, that such a run would be right: packages,\n"
            "GPUs, disks, model, tokenizer, mask, stop token, attention, ranks, gradients,\n"
            "resume. Without data.path it looks at rows of its own."
        )
        return EXIT_DONE
    from launch.commands.doctor import run_doctor

    return run_doctor(arguments)


def _plan(arguments: Sequence[str]) -> int:
    from launch.commands.plan import USAGE, run_plan

    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return EXIT_DONE
    return run_plan(arguments)


def _prefetch(arguments: Sequence[str]) -> int:
    from launch.commands.prefetch import USAGE, run_prefetch

    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return EXIT_DONE
    return run_prefetch(arguments)


def _status(arguments: Sequence[str]) -> int:
    wants_help = "--help" in arguments or "-h" in arguments
    if wants_help or len(arguments) > 1:
        print("usage: pacos status [RUN|SWEEP]   where they stand; without a word, all below runs/")
        return EXIT_DONE if wants_help else EXIT_USER_ERROR
    from pathlib import Path

    from launch.status.table import show

    show(Path(arguments[0]) if arguments else None)
    return EXIT_DONE


def _resubmit(arguments: Sequence[str]) -> int:
    wants_help = "--help" in arguments or "-h" in arguments
    if wants_help or len(arguments) != 1:
        print(
            "usage: pacos resubmit SWEEP   do the points that are neither done nor under way\n"
            "       pacos resubmit RUN     go on with a run, such as a part of a pipeline"
        )
        return EXIT_DONE if wants_help else EXIT_USER_ERROR
    from pathlib import Path

    from launch.commands.resubmit import resubmit
    from launch.status.read import named

    return resubmit(named(Path(arguments[0])))


def _review(arguments: Sequence[str]) -> int:
    wants_help = arguments in (["--help"], ["-h"])
    if wants_help or not arguments or arguments[0].startswith("-"):
        print(
            "usage: pacos review RUN [--port N]   rate items of a run on a local web page\n\n"
            "Of an evaluation with suite=geval: answers that the judge is unsure of, others by\n"
            "chance; what you say corrects its scores. Of generated data: rows. It prints the\n"
            "address; ratings are saved one by one, Ctrl-C ends, the same command goes on."
        )
        return EXIT_DONE if wants_help else EXIT_USER_ERROR
    from pathlib import Path

    from launch.commands.review import review

    return review(Path(arguments[0]), arguments[1:])


def _sync(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h"):
        print(
            "usage: pacos sync RUN…   send W&B what it lacks of runs, where it can be reached\n\n"
            "A run that had lives without W&B, or was killed, is whole there afterwards."
        )
        return EXIT_DONE if arguments else EXIT_USER_ERROR
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, [sys.executable, "-m", "pacos.sync", *arguments], environment)


OTHERS = {
    "sync": _sync,
    "doctor": _doctor,
    "plan": _plan,
    "prefetch": _prefetch,
    "report": _report,
    "chat": _chat,
    "review": _review,
    "status": _status,
    "resubmit": _resubmit,
}
"""Commands that open no run."""


if __name__ == "__main__":
    sys.exit(main())
