"""`accelerate launch` with the same words, silent where a rank has said what is wrong.

python -m sft.ranks --use_deepspeed --num_processes 8 -m sft.train --config config.yaml
"""

from __future__ import annotations

import sys

from pacos.errors import EXIT_CRASH


def main() -> int:
    """Launch and wait; returns 1 if a rank failed, whose own words are above."""
    from accelerate.commands.launch import main as launch
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch()
    except ChildFailedError:
        return EXIT_CRASH
    return 0


if __name__ == "__main__":
    sys.exit(main())
