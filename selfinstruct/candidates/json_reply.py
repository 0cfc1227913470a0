"""Parse replies in JSON: a bad item costs only itself, and a cut reply keeps its complete items.

The endpoint binds these replies to a schema, but a server may ignore the schema, wrap the object in
Markdown, or stop at the token limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from selfinstruct.candidates.candidate import (
    CUT,
    NOT_JSON,
    Candidate,
    encodable,
    normalize_input,
)

_BETWEEN_ITEMS = re.compile(r"[\s,]*")


def looks_like_json(text: str) -> bool:
    """Return True if the reply opens with an object, bare or in a Markdown code fence."""
    return text.lstrip().startswith(("{", "```"))


def tasks(text: str, *, cut: bool) -> list[Candidate]:
    """Parse whole tasks; `cut` says that the token limit ended the reply."""
    candidates = []
    for item in _items(text, "tasks"):
        texts = _texts(item, "instruction", "output")
        if texts is None:
            candidates.append(_not_json(item))
        else:
            instruction, output = texts
            candidates.append(Candidate(instruction, _input(item), output))
    return candidates or [_nothing(text, cut)]


def instructions(text: str, *, cut: bool) -> list[Candidate]:
    """Parse a list of instructions; `cut` says that the token limit ended the reply."""
    items = _items(text, "instructions")
    candidates = [Candidate(encodable(item).strip()) for item in items if isinstance(item, str)]
    return candidates or [_nothing(text, cut)]


def instances(instruction: str, text: str, *, cut: bool, output: str) -> list[Candidate]:
    """Parse the instances of one instruction.

    Args:
        instruction: what they are instances of.
        text: the reply.
        cut: the token limit ended the reply.
        output: key of the answer in an instance: `label` or `output`.
    """
    candidates = []
    for item in _items(text, "instances"):
        texts = _texts(item, output)
        if texts is None:
            candidates.append(_not_json(item))
        else:
            candidates.append(Candidate(instruction, _input(item), texts[0]))
    return candidates or [_nothing(text, cut)]


def _items(text: str, key: str) -> list[Any]:
    """Return the items of the list at `key`; of a cut object, those before the cut."""
    try:
        # From the first to the last brace: drops a Markdown fence, and sentences around the object.
        value = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        return list(_items_before_cut(text))
    items = value.get(key) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _items_before_cut(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), text.find("[") + 1
    # find() returns -1 where there is no list: position is then 0, and nothing is decoded.
    while position:
        between = _BETWEEN_ITEMS.match(text, position)
        assert between is not None, "the pattern matches the empty string"
        try:
            item, position = decoder.raw_decode(text, between.end())
        except ValueError:
            return
        yield item


def _texts(item: Any, *keys: str) -> list[str] | None:
    """Return the texts at the keys; None unless the item is an object with all of them."""
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
        return None
    return [encodable(item[key]).strip() for key in keys]


def _input(item: dict[str, Any]) -> str:
    return normalize_input(encodable(str(item.get("input") or "")))


def _not_json(item: Any) -> Candidate:
    return Candidate(json.dumps(item, ensure_ascii=False), defect=NOT_JSON)


def _nothing(text: str, cut: bool) -> Candidate:
    return Candidate(text.strip(), defect=CUT if cut else NOT_JSON)
