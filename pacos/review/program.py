"""The program of `pacos review`: its arguments, and serving the page until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pacos.errors import EXIT_DONE, UserError, exit_with
from pacos.review.server import ReviewServer
from pacos.run.stop import SIGNALS
from pacos.run_paths import RunPaths

Review = Callable[[RunPaths, int | None], None]
"""Serves a run's items on a port (None for the first free one), then writes the findings."""


def main(arguments: Sequence[str], review: Review) -> int:
    """Review the run named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="pacos review", description="Rate items of a run.")
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--port", type=int, help="port of the page; default: the first free one")
    options = parser.parse_args(arguments)
    try:
        review(RunPaths(options.run.absolute()), options.port)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def serve(server: ReviewServer) -> None:
    """Print the address of the page and serve it until Ctrl-C or a signal."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in SIGNALS}
    try:
        with server:
            forward = f"{server.port}:127.0.0.1:{server.port}"
            print(
                f"open {server.url}\n"
                f"  from another machine, first run: ssh -L {forward} THIS-MACHINE\n"
                "  every rating is saved at once; Ctrl-C ends the review",
                flush=True,
            )
            ended.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
