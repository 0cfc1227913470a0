"""Rows in the terminal, coloured by reason; in brackets where there are no colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from pacos.prompts.tokens import Reason
from pacos.text.counted import counted
from sft.preview.counts import SourceCounts
from sft.preview.pieces import LEGEND, NAMES, Piece, Run, runs
from sft.preview.rows import PreviewRow

STYLES: dict[Reason, tuple[str, str]] = {
    Reason.trained: ("bold green", "bold bright_green"),
    Reason.prompt: ("default", "bright_black"),
    Reason.first: ("default", "bright_black"),
    Reason.turn: ("yellow", "bright_yellow"),
    Reason.earlier: ("cyan", "bright_cyan"),
    Reason.thought: ("magenta", "bright_magenta"),
    Reason.empty_thought: ("magenta", "bright_magenta"),
    Reason.given: ("yellow", "bright_yellow"),
}
"""Two shades per reason, which alternate so that the edges of tokens show."""


def print_rows(
    rows: Sequence[PreviewRow], counts: Sequence[SourceCounts], most: int | None = None
) -> None:
    """Print the rows, a legend of the reasons that occur, and the counts of each source.

    Args:
        rows: the rows to print.
        counts: every source of the run.
        most: tokens to show of consecutive ones with the same reason; None shows all.
    """
    console = Console(highlight=False, soft_wrap=True)
    has_colors = console.color_system is not None and not console.no_color
    for row in rows:
        sizes = f" · {row.tokens:,} tokens, {row.trained:,} trained" if row.pieces else ""
        console.print(Text(f"── {row.place} · {row.use}{sizes}", style="bold"))
        shown = runs(row.pieces, most)
        text = _colored(shown) if has_colors else Text("".join(map(_bracketed, shown)))
        # Many templates end with a line break, which has its sign.
        text.rstrip()
        if text:
            console.print(text)
        console.print()
    found = {piece.reason for row in rows for piece in row.pieces}
    for reason in [reason for reason in LEGEND if reason in found]:
        bare = Text(LEGEND[reason], style=STYLES[reason][0])
        console.print(bare if has_colors else Text(f"{_mark(reason, '…'):<18} {LEGEND[reason]}"))
    if found:
        console.print()
    for number, source in enumerate(counts):
        if number:
            console.print()
        for line in _lines(source):
            console.print(Text(line))


def _colored(shown: Iterable[Run]) -> Text:
    text, number = Text(), 0
    for run in shown:
        for piece in run.head:
            text.append(piece.text, style=STYLES[run.reason][(number := number + 1) % 2])
        if run.hidden:
            text.append(_hidden(run), style="italic")
        for piece in run.tail:
            text.append(piece.text, style=STYLES[run.reason][(number := number + 1) % 2])
    return text


def _bracketed(run: Run) -> str:
    hidden = _hidden(run) if run.hidden else ""
    return _mark(run.reason, f"{_text(run.head)}{hidden}{_text(run.tail)}")


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _hidden(run: Run) -> str:
    return f" […{run.hidden:,} more tokens…] "


def _mark(reason: Reason, text: str) -> str:
    if reason is Reason.trained:
        return f"⟦{text}⟧"
    if reason is Reason.prompt:
        return text
    return f"⟨{NAMES[reason]}: {text}⟩"


def _lines(source: SourceCounts) -> list[str]:
    examples = f" · {source.examples:,} examples" if source.examples != source.rows else ""
    held = f", {source.held:,} held out for validation" if source.held else ""
    lines = [
        source.path,
        f"  {counted(source.rows, 'row')}{examples} · {source.tokens:,} tokens · "
        f"{source.trained:,} trained ({source.share:.0%}) · longest {source.longest:,}",
        f"  an epoch trains on {source.epoch:,}{held}",
    ]
    for treatment in source.treatments:
        lines.append(f"  {counted(treatment.rows, 'row')} {treatment.name}")
        lines += [f"    {reason}" for reason in treatment.reasons]
        if treatment.rows > len(treatment.reasons):
            lines.append("    …")
    return lines
