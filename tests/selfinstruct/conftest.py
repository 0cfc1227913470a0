"""A generator for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.selfinstruct.generator_server import GeneratorServer


@pytest.fixture(scope="module")
def server() -> Iterator[GeneratorServer]:
    with GeneratorServer() as running:
        yield running
