"""Running attacks, and checking the sandbox afterwards."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.sandbox.sandbox import Sandbox

PATIENT = 60.0
"""Time limit in seconds for tests of something other than time: the machine may be busy."""

ATTACKS = Path(__file__).parents[1] / "attacks"


def attacks(file: str) -> list[str]:
    """Return the names of the attacks in a file."""
    body = ast.parse((ATTACKS / file).read_text()).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if not name.startswith("_")]


def attack(sandbox: Sandbox, file: str, name: str, *arguments: Any, **named: Any) -> Any:
    """Run an attack, and return its result or the exception that it ended with."""
    with sandbox.candidate((ATTACKS / file).read_text(), name) as candidate:
        assert candidate.end is None, candidate.end
        try:
            return candidate.call(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # programs raise anything
            return error


def assert_is_well(box: Sandbox) -> None:
    """Check that nothing of an earlier program is left, and that the next one works."""
    program = "import os\ndef solve():\n    return os.listdir('.') if os.getcwd() != '/' else []\n"
    config = box._config
    box._config = replace(config, timeout_seconds=PATIENT)
    with box.candidate(program, "solve") as candidate:
        assert candidate.call() == []
    box._config = config
    left = descendants(box._server.pid)
    assert len(left) <= 1, f"besides the server there is {left}"


def descendants(pid: int) -> list[int]:
    """Return all descendants of a process."""
    children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]
