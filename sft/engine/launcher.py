"""`accelerate launch` with the same arguments, ending ranks cleanly and reporting how they ended.

python -m sft.engine.launcher --use_deepspeed --num_processes 8 -m sft.train --config config.yaml

torchrun, below accelerate, kills ranks 30 s after a signal, while they may still be saving, and
dies of USR1 itself. This launcher only forwards signals: ranks save, and end when they have. Until
a rank is ready to handle a signal, the kernel holds it back for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time

import psutil

from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_USER_ERROR
from pacos.run.stop import SIGNALS

POLL_SECONDS = 0.1

FAILED_PEER_SECONDS = 15
"""Seconds that the remaining ranks get when one has failed: to report their part, not to save."""


def main() -> int:
    """Launch and wait; return 2 if a rank refused to work, 1 if one failed."""
    # Every thread of this process and every rank inherits the block; ranks lift it (StopRequest).
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=_forward_signals, daemon=True).start()
    os.environ.setdefault("PET_SHUTDOWN_TIMEOUT", str(FAILED_PEER_SECONDS))
    from accelerate.commands.launch import main as launch
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # torchrun's own report of a failure would bury that of the rank.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launch()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f"pacos: rank {rank} was ended by {name}", file=sys.stderr)
        elif failure.exitcode != EXIT_USER_ERROR:
            print(f"pacos: rank {rank} failed, exit code {failure.exitcode}", file=sys.stderr)
        return EXIT_USER_ERROR if failure.exitcode == EXIT_USER_ERROR else EXIT_CRASH
    return EXIT_DONE


def _forward_signals() -> None:
    launcher = psutil.Process()
    while True:
        number = signal.sigwait(SIGNALS)
        # A signal may come before accelerate has started the ranks.
        while not (ranks := [child for child in launcher.children() if _is_rank(child)]):
            time.sleep(POLL_SECONDS)
        for rank in ranks:
            with contextlib.suppress(psutil.Error):
                rank.send_signal(number)


def _is_rank(process: psutil.Process) -> bool:
    try:
        return "LOCAL_RANK" in process.environ()
    except psutil.Error:
        return False


if __name__ == "__main__":
    sys.exit(main())
