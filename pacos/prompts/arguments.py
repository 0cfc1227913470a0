"""Arguments of tool calls, as JSON text and as objects."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pacos.data.example import RowError


def parsed(text: str, name: str) -> Any:
    """Return the object that the arguments of a call are the JSON text of.

    Raises:
        RowError: the text is not JSON, or an object would not hold all of it.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise RowError(
            f"the chat template needs the arguments of {name} as an object, but their text is "
            f"none: {error}; write an object with each key once"
        ) from error
    if not all(math.isfinite(leaf) for leaf in _leaves(value) if isinstance(leaf, float)):
        raise RowError(
            f"the arguments of {name} hold a number that JSON cannot write; remove NaN and Infinity"
        )
    return value


def dumped(value: Any) -> str:
    """Return arguments as JSON text; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def are_in(arguments: Any, text: str) -> bool:
    """Return True if a text holds arguments: as they are, as equal JSON, or leaf by leaf.

    Args:
        arguments: JSON text or an object.
        text: of the answer.
    """
    if dumped(arguments) in text:
        return True
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return False
    if any(value == other for other in _objects(text)):
        return True
    # Some templates have a syntax of their own: <parameter=city>Seoul</parameter>.
    leaves = list(_leaves(value))
    return bool(leaves) and all(
        _as_text(leaf) in text or json.dumps(leaf, ensure_ascii=False) in text for leaf in leaves
    )


def _as_text(leaf: Any) -> str:
    return leaf if isinstance(leaf, str) else json.dumps(leaf, ensure_ascii=False)


def _objects(text: str) -> Iterator[Any]:
    """Yield every JSON object in a text, also those inside another."""
    decoder = json.JSONDecoder()
    begin = text.find("{")
    while begin >= 0:
        with contextlib.suppress(ValueError):
            yield decoder.raw_decode(text, begin)[0]
        begin = text.find("{", begin + 1)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the keys and the values without parts of their own."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
