"""Let all ranks compute for lm_eval, which runs on rank 0 alone and sees a single process.

Rank 0 builds the prompts in lm_eval's order, so they are the same on any number of ranks, plans the
work and divides it. Every rank computes its share, and rank 0 gathers the results.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
import torch.distributed

from pacos.distributed import World
from pacos.run.stop import NEVER_STOP, StopCheck, Stopped

Work = Callable[[Any], Generator[list[Any], None, None]]
"""Computes a share and yields its results in batches."""

IDLE = "idle"
"""Name of the work of a rank that has none."""

RANK_TIMEOUT = datetime.timedelta(hours=2)
"""Time that other ranks wait while rank 0 builds prompts or computes metrics. lm_eval waits 52
weeks, so that a real hang never ends."""


def join_ranks(world: World) -> None:
    """Form the process group of all ranks of all nodes that the launcher started."""
    if world.size > 1:
        torch.distributed.init_process_group("gloo", timeout=RANK_TIMEOUT)


class RankWorkers:
    """The ranks of one model. All must construct it at the same time; rank 0 leads, others serve.

    Args:
        world: this rank.
        stop: asked on every rank; one that has a reason stops all.
    """

    def __init__(self, world: World, stop: StopCheck = NEVER_STOP) -> None:
        self._world, self._stop = world, stop
        self._employed: Sequence[int] = range(world.size)
        self._work: dict[str, Work] = {IDLE: _idle}
        self._is_in_rounds = False
        # gloo on every device: shares are Python objects, and waiting must not occupy a GPU.
        self._group = (
            torch.distributed.new_group(backend="gloo", timeout=RANK_TIMEOUT)
            if world.size > 1
            else None
        )

    @property
    def size(self) -> int:
        """Number of ranks that share the work: all of them, unless `employ` chose some."""
        return len(self._employed)

    @property
    def is_main(self) -> bool:
        """True on rank 0."""
        return self._world.is_main

    def register(self, name: str, work: Work) -> None:
        """Give work a name. Every rank that may be employed for it must register it."""
        self._work[name] = work

    def forget(self, *names: str) -> None:
        """Drop registered work, and with it whatever the work refers to."""
        for name in names:
            del self._work[name]

    def employ(self, ranks: Sequence[int] | None = None) -> None:
        """Divide work among these ranks from now on; None for all. Rank 0 calls this."""
        self._employed = range(self._world.size) if ranks is None else ranks

    def run(self, name: str, shares: Sequence[Any]) -> Iterator[list[Any]]:
        """Let each employed rank compute its share, and yield the results of all as they come.

        Rank 0 calls this; the others are in `serve`.

        Raises:
            Stopped: after all results so far have been yielded.
        """
        tasks: list[tuple[str, Any]] = [(IDLE, None)] * self._world.size
        for rank, share in zip(self._employed, shares, strict=True):
            tasks[rank] = name, share
        yield from self._rounds(self._hand_out(tasks))

    def serve(self) -> None:
        """Compute shares until rank 0 calls `dismiss`. The other ranks call this."""
        while (task := self._hand_out(None)) is not None:
            for _ in self._rounds(task):
                pass

    def dismiss(self) -> None:
        """End `serve` on the other ranks. Rank 0 calls this.

        After an exception within a share it does nothing: the others are waiting in a collective of
        that share and would take this one for it. The launcher ends them.
        """
        if self._world.size > 1 and not self._is_in_rounds:
            self._hand_out([None] * self._world.size)

    def any_rank(self, *flags: bool) -> list[bool]:
        """Return for each flag True if any rank has set it. Collective: all ranks must call."""
        if self._group is None:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int32)
        torch.distributed.all_reduce(counts, group=self._group)
        return [bool(count) for count in counts]

    def _hand_out(self, tasks: list[Any] | None) -> Any:
        if self._group is None:
            assert tasks is not None
            return tasks[0]
        mine: list[Any] = [None]
        torch.distributed.scatter_object_list(mine, tasks, group=self._group)
        return mine[0]

    def _rounds(self, task: tuple[str, Any]) -> Iterator[list[Any]]:
        """Compute this rank's share in rounds that all ranks end together.

        A rank whose share is done takes part until the last one is done: each round has two
        collectives, which every rank must reach.
        """
        name, share = task
        rounds = self._work[name](share)
        self._is_in_rounds = True
        has_more, is_stopped = True, False
        while has_more and not is_stopped:
            results = next(rounds, None)
            # All must agree on another round before the gather, which every rank has to enter.
            has_more, is_stopped = self.any_rank(
                results is not None, self._stop.reason() is not None
            )
            if has_more:
                yield [one for part in self._gather(results or []) for one in part]
        # Work that was stopped midway restores the model's own attention now, not when collected.
        rounds.close()
        self._is_in_rounds = False
        if is_stopped and self.is_main:
            raise Stopped(self._stop.reason() or "another rank was asked to stop")

    def _gather(self, results: list[Any]) -> list[list[Any]]:
        if self._group is None:
            return [results]
        parts: list[Any] = [None] * self._world.size
        torch.distributed.gather_object(
            results, parts if self.is_main else None, dst=0, group=self._group
        )
        return parts if self.is_main else []


def _idle(share: None) -> Generator[list[Any], None, None]:
    yield from ()
