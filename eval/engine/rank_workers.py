"""All ranks at work for the harness, which runs on rank 0 alone and sees one process.

Rank 0 builds the prompts in the harness' order, so that they are the same on any number of ranks,
plans what to compute and divides it. Every rank does its share and rank 0 gathers what comes of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
import torch.distributed

from pacos.distributed import World
from pacos.run.stop import Stopped

Work = Callable[[Any], Generator[list[Any], None, None]]
"""Does a share; gives what it has found, bit by bit."""

PATIENCE = datetime.timedelta(hours=2)
"""Other ranks wait this long while rank 0 builds prompts or computes metrics."""


def join_ranks(world: World) -> None:
    """Form the group of all ranks, of all nodes, that the launcher prepared."""
    if world.size > 1:
        torch.distributed.init_process_group("gloo", timeout=PATIENCE)


class Team:
    """The ranks of one model. All make it at the same time; rank 0 leads and the others serve.

    Args:
        world: this rank.
        stop: why to stop, on any rank; None to go on.
    """

    def __init__(self, world: World, stop: Callable[[], str | None] = lambda: None) -> None:
        self._world, self._stop = world, stop
        self._work: dict[str, Work] = {}
        self._is_at_work = False
        # Over gloo on every device: what is told is Python objects, and waiting takes no GPU.
        self._group = (
            torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
            if world.size > 1
            else None
        )

    @property
    def size(self) -> int:
        """Ranks."""
        return self._world.size

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self._world.is_main

    def learn(self, name: str, work: Work) -> None:
        """Every rank learns what can be asked of it, under the same name."""
        self._work[name] = work

    def do(self, name: str, shares: Sequence[Any]) -> Iterator[list[Any]]:
        """On rank 0: have each rank do its share; gives what all found, as it comes.

        Raises:
            Stopped: after what was found has been given.
        """
        yield from self._rounds(self._hand_out([(name, share) for share in shares]))

    def serve(self) -> None:
        """On other ranks: do shares until rank 0 has no more."""
        while (task := self._hand_out(None)) is not None:
            for _ in self._rounds(task):
                pass

    def dismiss(self) -> None:
        """On rank 0: let the others go, unless a share broke off: then they wait for its rest."""
        if self.size > 1 and not self._is_at_work:
            self._hand_out([None] * self.size)

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set on any rank; every rank asks."""
        if self._group is None:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.int32)
        torch.distributed.all_reduce(told, group=self._group)
        return [bool(flag) for flag in told]

    def _hand_out(self, tasks: list[Any] | None) -> Any:
        if self._group is None:
            assert tasks is not None
            return tasks[0]
        mine: list[Any] = [None]
        torch.distributed.scatter_object_list(mine, tasks, group=self._group)
        return mine[0]

    def _rounds(self, task: tuple[str, Any]) -> Iterator[list[Any]]:
        name, share = task
        rounds = self._work[name](share)
        self._is_at_work = True
        goes_on, is_stopped = True, False
        while goes_on and not is_stopped:
            found = next(rounds, None)
            goes_on, is_stopped = self.any(found is not None, self._stop() is not None)
            if goes_on:
                yield [one for part in self._gather(found or []) for one in part]
        rounds.close()
        self._is_at_work = False
        if is_stopped and self.is_main:
            raise Stopped(self._stop() or "another rank was asked to stop")

    def _gather(self, found: list[Any]) -> list[list[Any]]:
        if self._group is None:
            return [found]
        parts: list[Any] = [None] * self.size
        torch.distributed.gather_object(
            found, parts if self.is_main else None, dst=0, group=self._group
        )
        return parts if self.is_main else []
