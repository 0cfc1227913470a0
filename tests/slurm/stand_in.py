"""A rank program without torch, for tests of what surrounds it: jobs, stops, requeues, sweeps.

It stands where a container's words stand (PACOS_RUN). Launchers of ranks become this program; other
programs of pacos are run as they are."""

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
