"""Download the data of a suite's tasks: the program that `pacos prefetch eval` starts.

python -m eval.harness.prefetch --config FILE
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from eval.config import EvalConfig
from pacos.configs.frozen import load_frozen
from pacos.errors import EXIT_DONE, UserError, exit_with


def main(arguments: Sequence[str]) -> int:
    """Build the tasks of a frozen config, which caches their data; return the exit code."""
    from eval.harness.suites import build_suite, leaves

    try:
        suite = load_frozen(Path(arguments[1]), EvalConfig).suite
        tasks = list(leaves(build_suite(suite).tasks))
    except UserError as error:
        return exit_with(error)
    print(f"suite {suite.name}: data of {len(tasks)} tasks", flush=True)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
