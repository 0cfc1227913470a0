"""Plain values as JSON and back: all that crosses between tests and a program.

`unpack` builds new values of built-in types, whatever went in. An object that equals everything, or
that claims another class, arrives as an `Opaque`, which equals nothing but itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MAX_DEPTH = 200
"""Levels of nested containers, well below Python's recursion limit of 1,000: unpacking takes up to
two frames per level, and tests recurse through the values as well."""
_SHORT = 1 << 63
"""Integers below this magnitude are JSON numbers. Longer ones are sent in hexadecimal: Python
parses decimals in quadratic time, and refuses more than 4,300 digits."""


class Opaque:
    """Stands for a value of a type that does not cross; equals nothing but itself."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def pack(value: Any) -> Any:
    """Return a value as JSON; an instance of a subclass, such as Counter, as its built-in type.

    Raises:
        RecursionError: the value contains itself, or is nested too deeply.
    """
    # `type(…) in` and not isinstance: a subclass of str may lie about its content.
    if value is None or type(value) in (bool, str, float):
        return value
    if type(value) is int and -_SHORT < value < _SHORT:
        return value
    # Looked up, not imported: numpy takes longer to import than most programs take to run.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return pack(value.item())
    for kind, (tag, parts) in _CONTAINERS.items():
        if isinstance(value, kind):
            return [tag, *map(pack, parts(value))]
    if isinstance(value, str | float):
        return (str if isinstance(value, str) else float)(value)
    if isinstance(value, int):
        return ["int", hex(value)]
    if isinstance(value, bytes | bytearray):
        return [type(value).__name__, value.hex()]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    return ["opaque", type(value).__name__[:100]]


def _items(value: Mapping[Any, Any]) -> list[Any]:
    """Return keys and values in one flat list: JSON objects only have string keys."""
    return [part for item in value.items() for part in item]


_CONTAINERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    list: ("list", list),
    tuple: ("tuple", list),
    dict: ("dict", _items),
    set: ("set", list),
    frozenset: ("frozenset", list),
    # Tests may iterate over either once; neither equals a list.
    range: ("iterator", list),
    Iterator: ("iterator", list),
}


def unpack(packed: Any) -> Any:
    """Return the value that was packed.

    Raises:
        ValueError: this is not a packed value.
    """
    return _unpack(packed, MAX_DEPTH)


def _unpack(packed: Any, depth: int) -> Any:
    if not isinstance(packed, list):
        if isinstance(packed, dict):
            raise ValueError("a JSON object is not a packed value")
        return packed
    if not packed or not isinstance(packed[0], str):
        raise ValueError("a packed value without a type")
    tag, parts = packed[0], packed[1:]
    if tag in _FROM_PARTS:
        if depth == 0:
            raise ValueError(f"more than {MAX_DEPTH} nested containers")
        try:
            return _FROM_PARTS[tag]([_unpack(part, depth - 1) for part in parts])
        except TypeError as error:
            raise ValueError(f"a {tag} with an element that it cannot hold") from error
    if tag in _FROM_TEXT and len(parts) == 1 and isinstance(parts[0], str):
        return _FROM_TEXT[tag](parts[0])
    if tag == "complex" and [type(part) for part in parts] == [float, float]:
        return complex(*parts)
    raise ValueError(f"an unknown type, or wrong content for it: {tag[:100]!r}")


def _dict(parts: Sequence[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


_FROM_PARTS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dict": _dict,
    "set": set,
    "frozenset": frozenset,
    "iterator": iter,
}

_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "int": lambda text: int(text, 16),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "opaque": Opaque,
}
