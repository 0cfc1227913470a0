"""The surroundings of one rank in one life of a run: its number, device, watchdog and stop."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pacos.distributed import World
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from sft.engine.deepspeed import start_ranks
from sft.monitor.stopping import CollectiveStop
from sft.monitor.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class RankContext:
    """What the parts of a training program need to know about the rank that they run on."""

    world: World
    device: torch.device
    watchdog: Watchdog
    stop: CollectiveStop

    @classmethod
    def start(
        cls, run: RunPaths, world: World, request: StopRequest, hang_seconds: float
    ) -> RankContext:
        """Join the other ranks; every rank calls it.

        Args:
            run: the run.
            world: this rank's number among all.
            request: stop request of this process.
            hang_seconds: shortest pause that the watchdog takes for a hang.
        """
        device = start_ranks(world)
        watchdog = Watchdog.of(run, world, hang_seconds)
        return cls(world, device, watchdog, CollectiveStop(request, world, device, watchdog))
