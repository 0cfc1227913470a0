"""Print rows as the model sees them.

python -m sft.preview.run --config config.yaml --rows N [--row FILE:LINE] [--html FILE]
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pacos.configs.frozen import load_frozen
from pacos.console import set_up_logging
from pacos.errors import EXIT_DONE, UserError, exit_with
from pacos.text.counted import counted
from sft.config import SFTConfig
from sft.preview.counts import counts
from sft.preview.page import write_page
from sft.preview.rows import RunRows
from sft.preview.terminal import print_rows

MOST_TOKENS = 200
"""Tokens shown of consecutive ones with the same reason when rows are looked through: a long prompt
would push the others off the screen. A row that is asked for is shown in full."""


def main(arguments: Sequence[str]) -> int:
    """Print the rows; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--row")
    parser.add_argument("--html", type=Path)
    options = parser.parse_args(arguments)
    set_up_logging(is_main=True)
    # The front end says that it was interrupted; a traceback of this process would add nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        preview(load_frozen(options.config, SFTConfig), options.rows, options.row, options.html)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def preview(config: SFTConfig, count: int, place: str | None, html: Path | None) -> None:
    """Show rows.

    Args:
        config: of the run.
        count: rows to show from the first steps.
        place: FILE:LINE of a row to show instead.
        html: page to write instead of printing.

    Raises:
        UserError: the data cannot be used or has no such row, or the page cannot be written.
    """
    data = RunRows.load(config)
    rows = data.first(count) if place is None else data.at(place)
    sources = counts(data)
    # A reader that closes the pipe early, such as `head`, ends this process without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if html is None:
        print_rows(rows, sources, MOST_TOKENS if place is None else None)
        return
    try:
        write_page(html, config.model.name, rows, sources)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--html {html}: cannot be written: {reason}; give another file") from error
    print(f"{counted(len(rows), 'row')} written to {html}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
