"""One Slurm cluster for all live tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.mini_slurm import MiniSlurm, NoSlurmError


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniSlurm]:
    """A running cluster of three nodes with eight fake GPUs each."""
    try:
        with MiniSlurm(tmp_path_factory.mktemp("slurm")) as cluster:
            yield cluster
    except NoSlurmError as error:
        pytest.skip(str(error))
