"""Plain values as JSON, and back: what crosses between tests and a program.

Only values of built-in types come out of `unpack`, made anew, whatever went in: an object that
equals everything, or names another class as its own, arrives as an `Opaque`, which equals nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MAX_DEPTH = 200
"""Containers inside one another."""
_SHORT = 1 << 63
"""Integers below it are JSON numbers; Python reads longer ones from decimals in quadratic time."""


class Opaque:
    """Stands for a value of a type that does not cross; equals nothing but itself."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def pack(value: Any) -> Any:
    """A value as JSON; one of a subclass, such as Counter, as the built-in type.

    Raises:
        RecursionError: it holds itself, or is too deep.
    """
    if value is None or type(value) in (bool, str, float):
        return value
    if type(value) is int and -_SHORT < value < _SHORT:
        return value
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
    return [part for item in value.items() for part in item]


_CONTAINERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    list: ("list", list),
    tuple: ("tuple", list),
    dict: ("dict", _items),
    set: ("set", list),
    frozenset: ("frozenset", list),
    # Tests may go through either once; neither equals a list.
    range: ("iterator", list),
    Iterator: ("iterator", list),
}


def unpack(packed: Any) -> Any:
    """The value that `pack` was given.

    Raises:
        ValueError: no value is packed so.
    """
    return _unpack(packed, MAX_DEPTH)


def _unpack(packed: Any, depth: int) -> Any:
    if not isinstance(packed, list):
        if isinstance(packed, dict):
            raise ValueError("an object is no value")
        return packed
    if not packed or not isinstance(packed[0], str):
        raise ValueError("a value without a type")
    tag, parts = packed[0], packed[1:]
    if tag in _FROM_PARTS:
        if depth == 0:
            raise ValueError(f"more than {MAX_DEPTH} containers inside one another")
        try:
            return _FROM_PARTS[tag]([_unpack(part, depth - 1) for part in parts])
        except TypeError as error:
            raise ValueError(f"a {tag} of what it cannot hold") from error
    if tag in _FROM_TEXT and len(parts) == 1 and isinstance(parts[0], str):
        return _FROM_TEXT[tag](parts[0])
    if tag == "complex" and [type(part) for part in parts] == [float, float]:
        return complex(*parts)
    raise ValueError(f"no type is called {tag[:100]!r}, or not so")


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
