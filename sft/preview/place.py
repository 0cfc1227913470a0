"""The row that a person names: FILE:LINE, or the place as messages write it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pacos.data.reading.trees import is_tree_message
from pacos.data.sources import SHARD_BITS, Source
from pacos.errors import UserError
from sft.data.token_cache import TokenCache

FORM = re.compile(r"(?P<name>.+?)(?::|, row )(?P<number>\d+)")

MOST_NAMES = 5
"""Files that a message lists."""


def find(place: str, parts: Sequence[TokenCache]) -> list[tuple[TokenCache, int]]:
    """Return the sources that a place may lie in, each with the number of the record.

    Args:
        place: FILE:LINE, or FILE:NUMBER for a row of a table. FILE is a path, the end of one, or
            data.path if that is one file.
        parts: every source of the run.

    Raises:
        UserError: it has another form, or names no file of the data, or several.
    """
    match = FORM.fullmatch(place)
    if match is None:
        raise UserError(f"--row {place}: names no row; give FILE:LINE, such as rows.jsonl:12")
    name, row = match["name"], int(match["number"])
    files = [
        (part, shard, file)
        for part in parts
        for shard, file in enumerate(part.source.location.files)
    ]
    exact = [item for item in files if _is_named(item[0].source, item[2], name)]
    chosen = exact or [item for item in files if _ends_with(item[2], name)]
    distinct = list(dict.fromkeys(_label(part.source, file) for part, _, file in chosen))
    if len(distinct) > 1:
        raise UserError(f"--row {place}: may lie in {_listed(distinct)}; name one of them")
    if not chosen:
        known = list(dict.fromkeys(_label(part.source, file) for part, _, file in files))
        raise UserError(f"--row {place}: no such file in the data, which has {_listed(known)}")
    return [(part, (shard << SHARD_BITS) + row) for part, shard, _ in chosen]


def last_places(found: Sequence[tuple[TokenCache, int]]) -> str:
    """Return why there is no row at a place that `find` returned."""
    part, number = found[0]
    shard = number >> SHARD_BITS
    excluded = [row["number"] for kind in ("dropped", "quarantined") for row in part.facts[kind]]
    numbers = np.concatenate([part.numbers, np.array(excluded, dtype=np.int64)])
    inside = numbers[numbers >> SHARD_BITS == shard]
    cut = part.source.location.cut
    where = f" in the slice {cut}" if cut else ""
    if not len(inside):
        return f"this file has no row{where}"
    first, last = (part.source.place(int(end)) for end in (inside.min(), inside.max()))
    _, record = next(part.source.records())
    trees = "; a conversation has the line of its last message" if is_tree_message(record) else ""
    return f"no row is there{where}; the rows are from {first} to {last}{trees}"


def _label(source: Source, file: Path) -> str:
    """Return a file as `Source.place` names it."""
    return f"{source.path}, {file.name}" if source.location.on_hub else str(file)


def _is_named(source: Source, file: Path, name: str) -> bool:
    whole = (source.path, str(source.location.path))
    if name == _label(source, file) or (len(source.location.files) == 1 and name in whole):
        return True
    return os.path.realpath(os.path.expanduser(name)) == os.path.realpath(file)


def _ends_with(file: Path, name: str) -> bool:
    wanted = Path(name).parts
    return file.parts[-len(wanted) :] == wanted


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
