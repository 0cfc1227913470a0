import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from eval.sandbox.values import MAX_DEPTH, Opaque, pack, unpack


def crossed(value: Any) -> Any:
    return unpack(json.loads(json.dumps(pack(value))))


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 2**62, 2**63, -(2**63), 10**5000, -(10**400)),
        *(0.1, -0.0, 1e308, 5e-324, math.inf, -math.inf, 1.0, 2 + 3j),
        *("", "물", '\x00\n\\"', "\ud800", b"", b"\xff\x00", bytearray(b"x")),
        *([], (), {}, set(), frozenset(), [[]], ([],), [()], ["list"], [["int", "1"]]),
        *({1: "a", "1": 2, (1, 2): [3], None: {4}}, {frozenset({1})}, [1, (2, [3.0, {"x": ()}])]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_and_their_types_come_back(value: Any) -> None:
    def types(found: Any) -> Any:
        if isinstance(found, dict):
            return dict, [(types(key), types(item)) for key, item in found.items()]
        if isinstance(found, list | tuple):
            return type(found), [types(item) for item in found]
        return type(found)

    assert crossed(value) == value
    assert types(crossed(value)) == types(value)


def test_what_equals_nothing() -> None:
    assert math.isnan(crossed(math.nan))
    assert math.copysign(1, crossed(-0.0)) == -1


def test_kinds_of_built_in_types_arrive_as_these() -> None:
    class Colour(IntEnum):
        red = 3

    point = namedtuple("point", "x y")
    for value, plain in (
        *((Counter("aab"), {"a": 2, "b": 1}), (OrderedDict(x=1), {"x": 1})),
        *((defaultdict(list, x=[1]), {"x": [1]}), (point(1, 2), (1, 2)), (Colour.red, 3)),
        *((np.int64(3), 3), (np.float64(0.5), 0.5), (np.float32(0.5), 0.5), (np.bool_(True), True)),
    ):
        assert crossed(value) == plain
        assert type(crossed(value)) is type(plain)


def test_iterators_can_be_gone_through_and_equal_no_list() -> None:
    for value in (range(3), iter([0, 1, 2]), (n for n in range(3)), map(int, "012")):
        found = crossed(value)
        assert found != [0, 1, 2]
        assert list(found) == [0, 1, 2]
        assert list(found) == []


@pytest.mark.parametrize(
    "value", [object(), object, len, deque([1]), Decimal(1), Fraction(1), np.zeros(2), ...]
)
def test_other_values_arrive_as_something_that_equals_nothing(value: Any) -> None:
    found = crossed(value)
    assert type(found) is Opaque
    assert found != found.kind
    with pytest.raises(TypeError):
        found + 1


def test_what_holds_itself_does_not_cross() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        pack(loop)


def test_depth_is_bounded() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = ["list", deep]
    unpack(deep)
    with pytest.raises(ValueError, match="nested containers"):
        unpack(["list", deep])
