"""Real ranks for tests: processes that form a gloo group, started from a warm process."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from typing import Any

WARM = ["tests.sft.engines", "deepspeed.runtime.zero.muon.muon_optimizer"]
"""Imported once, by the process that all ranks are forked from."""


def run_ranks(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call a function in every rank; returns what each of them returned."""
    results: SimpleQueue[tuple[int, Any, str | None]] = _context().SimpleQueue()
    ranks = start_processes(size, _tell, function, arguments, results)
    try:
        returned: dict[int, Any] = {}
        for _ in ranks:
            rank, value, failure = results.get()
            assert failure is None, f"rank {rank}: {failure}"
            returned[rank] = value
        return [returned[rank] for rank in range(size)]
    finally:
        for process in ranks:
            process.join(timeout=10 if len(returned) == size else 0)
            process.kill()


def start_processes(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Processes that call a function, each with the environment of its rank."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    port = _free_port()
    ranks = [
        _context().Process(target=_rank, args=(rank, size, port, function, arguments))
        for rank in range(size)
    ]
    for process in ranks:
        process.start()
    return ranks


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    return context


def _rank(
    rank: int, size: int, port: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    function(*arguments)


def _tell(function: Callable[..., Any], arguments: tuple[Any, ...], results: Any) -> None:
    rank = int(os.environ["RANK"])
    try:
        results.put((rank, function(*arguments), None))
    except Exception:  # noqa: BLE001  # told by the test that started this rank
        results.put((rank, None, traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
