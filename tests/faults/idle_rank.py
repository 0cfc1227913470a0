"""A rank that waits until it is asked to stop: python -m tests.faults.idle_rank FOLDER SECONDS."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pacos.errors import EXIT_USER_ERROR
from pacos.rank import end_with_parent
from pacos.run.stop import StopRequest


def main(folder: Path, not_ready: float) -> int:
    """Tell that it has begun, get ready, wait. Rank 1 refuses to work if a file asks for it."""
    end_with_parent()
    rank = os.environ["RANK"]
    (folder / f"begun-{rank}").write_text(str(os.getpid()))
    time.sleep(not_ready)
    request = StopRequest(folder / "STOP")
    while (reason := request.reason()) is None:
        if rank == "1" and (folder / "refuse").exists():
            return EXIT_USER_ERROR
        time.sleep(0.05)
    (folder / f"stopped-{rank}").write_text(reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
