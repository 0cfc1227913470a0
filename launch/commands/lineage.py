"""`pacos lineage`: the chain from seeds to scores, walked from a run, a model or a row."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from launch.commands.parser import CommandParser, positive
from launch.lineage.chain import chain_of_model, chain_of_run
from launch.lineage.item import rows_of_item
from launch.lineage.rows import chain_of_row
from launch.lineage.step import rows_of_step
from launch.lineage.terms import terms_of
from pacos.errors import EXIT_DONE, UserError
from pacos.lineage.library import Library, Run, root_of
from pacos.run_paths import RunPaths

DETAILS = """\
Show where a data set, a model or a row comes from, and what came of it, as the manifests of runs
record it: seeds, requests, rows, data set, tokens, checkpoints, model, scores.

  RUN, MODEL   a folder: the whole chain of a run, or of a model that pacos exported
  ROW          an id, a hash (16 digits) or FILE:LINE: the request that wrote the row, and every
               model that saw it

From a loss spike, --step leads to its rows and their requests; from a failed item, --item does.
--terms prints the chain of licences and output terms: each input, the duties it brings, the clauses
that forbid a use, and what the model may be used for. This is no legal advice; docs/licences.md
explains the terms, docs/lineage.md the chain."""

ROWS_ROOT = Path("runs")
"""Folder that is searched for a row, unless --root names another."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("subject", metavar="RUN|MODEL|ROW")
    view = parser.add_mutually_exclusive_group()
    view.add_argument(
        "--step", type=positive, metavar="N", help="the rows of a step of a training run"
    )
    view.add_argument(
        "--item", metavar="TASK:ID", help="an item of an eval run, and the rows nearest to it"
    )
    view.add_argument("--terms", action="store_true", help="licences, duties and permitted use")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="folder whose runs are searched (default: that of the run, or runs for a row)",
    )


def run(args: argparse.Namespace) -> int:
    """Print what was asked for.

    Raises:
        UserError: the subject is no run, model or row, or does not have what is asked for.
    """
    for line in _lines(args):
        print(line)
    return EXIT_DONE


def _lines(args: argparse.Namespace) -> Iterator[str]:
    folder = Path(args.subject).expanduser()
    if args.terms:
        return _terms(folder)
    return _chain(folder, args) if folder.is_dir() else _row(args)


def _terms(folder: Path) -> Iterator[str]:
    paths = RunPaths(folder.absolute())
    if not paths.manifest.is_file():
        raise UserError(f"{folder}: is no run; give the folder of one, such as runs/demo")
    yield terms_of(paths)


def _row(args: argparse.Namespace) -> Iterator[str]:
    if args.step is not None or args.item is not None:
        raise UserError(f"{args.subject}: is no folder; --step and --item need a run")
    if Path(args.subject).expanduser().is_file():
        raise UserError(f"{args.subject}: is a file; name a row of it as {args.subject}:LINE")
    root = ROWS_ROOT if args.root is None else args.root.expanduser()
    if not root.is_dir():
        raise UserError(f"--root {root}: no such folder; name the folder of your runs")
    return chain_of_row(args.subject, Library.below(root))


def _chain(folder: Path, args: argparse.Namespace) -> Iterator[str]:
    library = Library.below(args.root.expanduser() if args.root else root_of(folder))
    if args.step is not None:
        return rows_of_step(_run(library, folder, "sft", "--step"), args.step, library)
    if args.item is not None:
        return rows_of_item(_run(library, folder, "eval", "--item"), args.item, library)
    if (run := library.run_in(folder)) is not None:
        return chain_of_run(run, library)
    if (model := library.model_in(folder)) is not None:
        return chain_of_model(model, library)
    raise UserError(
        f"{folder}: is no run and no model of pacos: it holds neither the manifest.json of a run "
        "nor an origin.json; give a folder such as runs/demo or runs/demo/model"
    )


def _run(library: Library, folder: Path, stage: str, option: str) -> Run:
    """Return the run of a stage: the one in the folder, or that of the pipeline in it."""
    for each in (folder, RunPaths(folder).stage(stage).path):
        run = library.run_in(each)
        if run is not None and run.stage == stage:
            return run
    raise UserError(f"{folder}: holds no run of pacos {stage}, which {option} needs; give one")
