"""Rows as a self-contained HTML page: each token is a box that tells its id and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pacos.files import atomic_write
from sft.preview.counts import SourceCounts
from sft.preview.pieces import LEGEND, NAMES, Piece, runs
from sft.preview.rows import PreviewRow
from sft.preview.signs import Kind

MOST_PIECES = 4000
"""Tokens to show of consecutive ones with the same reason: a browser lays out some ten thousand
boxes in a second, and rows may have a million tokens."""

TAGS = {Kind.text: "{}", Kind.special: "<b>{}</b>", Kind.sign: "<em>{}</em>"}


def write_page(
    file: Path, model: str, rows: Sequence[PreviewRow], counts: Sequence[SourceCounts]
) -> None:
    """Write the page in one rename, in a new folder if need be.

    Args:
        file: the file to write.
        model: name of the model, for the heading.
        rows: the rows to show.
        counts: every source of the run.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("sft.preview").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    found = {piece.reason for row in rows for piece in row.pieces}
    page = template.render(
        model=model,
        rows=[(row, list(runs(row.pieces, MOST_PIECES))) for row in rows],
        counts=counts,
        reasons=[reason for reason in LEGEND if reason in found],
        legend=LEGEND,
        token=_token,
    )
    atomic_write(file, page)


def _token(piece: Piece) -> Markup:
    """Return a box. Not in the template, where a row of 100,000 tokens would take seconds."""
    inside = "".join(TAGS[part.kind].format(escape(part.text)) for part in piece.parts)
    ids = ", ".join(map(str, piece.ids))
    return Markup(f'<span title="{ids} · {escape(NAMES[piece.reason])}">{inside}</span>')
