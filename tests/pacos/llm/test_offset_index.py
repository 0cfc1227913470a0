from __future__ import annotations

import hashlib

from pacos.llm.offset_index import OffsetIndex


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_every_key_has_its_last_offset() -> None:
    index = OffsetIndex()
    for number in range(5000):
        index.put(key(number), number)
    index.put(key(7), 123456789012)
    assert len(index) == 5000
    assert [index.get(key(number)) for number in range(5000)] == [
        123456789012 if number == 7 else number for number in range(5000)
    ]
    assert all(index.get(key(number)) is None for number in range(5000, 10000))


def test_keys_that_fall_on_one_slot() -> None:
    index = OffsetIndex()
    keys = [f"{number * 2**40:016x}" + "0" * 48 for number in range(300)]
    for number, name in enumerate(keys):
        index.put(name, number)
    assert [index.get(name) for name in keys] == list(range(300))
