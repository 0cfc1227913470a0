"""The data behind charts: bins and running means."""

from __future__ import annotations

import pytest

from launch.report.charts import bin_edge, length_bin, running_mean


def test_bins_of_lengths() -> None:
    assert [bin_edge(index) for index in range(9)] == [0, 1, 2, 3, 4, 6, 8, 12, 16]
    for length in range(500):
        index = length_bin(length)
        assert bin_edge(index) <= length < bin_edge(index + 1)


def test_running_mean() -> None:
    assert running_mean([1, 2, 6, 2, 1], 3) == [1.5, 3, pytest.approx(10 / 3), 3, 1.5]
