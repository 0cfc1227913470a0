from collections.abc import Callable, Iterator

import pytest

from eval.sandbox.sandbox import Sandbox, SandboxError
from tests.eval.sandbox.attacking import PATIENT


@pytest.fixture(
    scope="module",
    params=[(), ("namespaces",), ("landlock",)],
    ids=["all layers", "no namespaces", "no Landlock"],
)
def box(
    request: pytest.FixtureRequest, sandbox_without: Callable[..., Sandbox]
) -> Iterator[Sandbox]:
    """A sandbox here, and on machines that lack one of the two layers that keep files away."""
    try:
        made = sandbox_without(*request.param, memory_mib=256, timeout_seconds=PATIENT)
    except SandboxError as error:
        if not request.param:
            raise
        pytest.skip(f"this machine has neither: {error}")
    with made:
        assert all(made.isolation.layers[name] for name in request.param)
        yield made


@pytest.fixture(scope="module")
def quick(sandbox_without: Callable[..., Sandbox]) -> Iterator[Sandbox]:
    """For what is ended by its limit."""
    with sandbox_without(memory_mib=256, timeout_seconds=1.0) as made:
        yield made
