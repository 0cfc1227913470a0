"""Where Hydra looks for plugins: a launcher that hands on all points of a batch together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig


class BatchLauncher(Launcher):
    """Its task function has a method `launch`, which knows how to run points here and as jobs."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self._task_function = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        returns: Sequence[JobReturn] = self._task_function.launch(job_overrides)
        return returns


node = {"_target_": f"{__name__}.{BatchLauncher.__name__}"}
ConfigStore.instance().store(group="hydra/launcher", name="pacos", node=node, provider="pacos")
