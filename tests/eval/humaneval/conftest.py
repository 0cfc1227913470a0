import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.configs.humaneval import HumanEvalConfig
from eval.configs.sandbox import SandboxConfig
from pacos.configs.suite import SuiteConfig


def row(name: str, solution: str, expected: str) -> dict[str, str]:
    """A problem in HumanEval's form: a function of one argument, tested at 2."""
    return {
        "task_id": f"HumanEval/{name}",
        "prompt": f'import math\n\n\ndef {name}(x):\n    """The {name} of x."""\n',
        "canonical_solution": f"    return {solution}\n",
        "test": f"def check(candidate):\n    assert candidate(2) == {expected}\n",
        "entry_point": name,
    }


ROWS = [
    row("square", "x * x", "4"),
    row("root", "math.sqrt(x)", "math.sqrt(2)"),
    row("word", "'a' * x", "'aa'"),
]


@pytest.fixture
def write_problems(tmp_path: Path) -> Callable[..., Path]:
    """Write problems to a folder that is laid out as suite.data_dir."""

    def write(*rows: Any) -> Path:
        file = tmp_path / "data" / "humaneval" / "HumanEval.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [line if isinstance(line, str) else json.dumps(line) for line in rows or ROWS]
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
        return tmp_path / "data"

    return write


@pytest.fixture
def problems_config(config: EvalConfig, write_problems: Callable[..., Path]) -> EvalConfig:
    """The three problems, a tiny model."""
    config.suite = SuiteConfig(
        name="humaneval",
        folder="shipped:humaneval",
        tasks=["humaneval"],
        data_dir=str(write_problems()),
    )
    config.humaneval = HumanEvalConfig(max_tokens=4, sandbox=SandboxConfig(workers=1))
    config.heldout, config.limit = None, None
    return config
