"""A rank program without torch, for tests of everything around it: jobs, stops, requeues, sweeps.

It takes the place of a container's command (PACOS_RUN). It replaces launchers of ranks and runs all
other programs of pacos unchanged."""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> int:
    if "sft.engine.launcher" in words or "selfinstruct.run" in words:
        from tests.slurm.stand_in_rank import run

        return run(words)
    os.execvp(words[0], words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
