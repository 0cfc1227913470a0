"""A teacher for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.selfinstruct.teacher_server import TeacherServer


@pytest.fixture(scope="module")
def server() -> Iterator[TeacherServer]:
    with TeacherServer() as running:
        yield running
