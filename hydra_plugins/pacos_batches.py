"""A Hydra launcher that hands all points of a batch over together. Hydra imports it from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

if TYPE_CHECKING:
    from launch.sweeps.search import BatchTask


class BatchLauncher(Launcher):
    """A launcher for one task function, `BatchTask`, which runs points here or as Slurm jobs."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: BatchTask, config: DictConfig
    ) -> None:
        self._task = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        return self._task.launch(job_overrides)


# hydra/launcher=pacos selects it.
node = {"_target_": f"{__name__}.{BatchLauncher.__name__}"}
ConfigStore.instance().store(group="hydra/launcher", name="pacos", node=node, provider="pacos")
