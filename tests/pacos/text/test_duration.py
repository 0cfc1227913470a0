"""Lengths of time for people."""

from __future__ import annotations

import pytest

from pacos.text.duration import duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (4.25, "4.2 s"),
        (59.99, "1 min 0 s"),
        (754, "12 min 34 s"),
        (3599.9, "1 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
