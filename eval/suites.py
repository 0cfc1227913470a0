"""A suite: a folder of harness task files (YAML) with their data, loaded without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from eval.humaneval.config import TASK as HUMANEVAL
from pacos.errors import UserError
from pacos.suite import SuiteConfig

TaskConfig = dict[str, Any]
"""One task file of the harness, as it is written, with absolute paths of data files."""

FILE_FORMATS = ("json", "csv", "parquet", "text")
"""Values of `dataset_path` that mean files of our own; any other one is a data set on the hub."""


def load_task_configs(suite: SuiteConfig) -> list[TaskConfig]:
    """Read the task files of a suite, in the order of the config.

    Raises:
        UserError: a task file cannot be read, or one of its data files is missing.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    tasks = []
    for name in suite.tasks:
        if name == HUMANEVAL:
            continue  # It is made from the config: eval/humaneval/task.py.
        path = suite.directory() / f"{name}.yaml"
        try:
            task = load_yaml(path)
        except (yaml.YAMLError, ValueError, OSError, ImportError, AttributeError) as error:
            raise UserError(f"{path}: cannot be read as a task of the harness: {error}") from error
        if "task" not in task:
            raise UserError(f"{path}: has no key `task`; give the task a name there")
        tasks.append(_with_absolute_paths(task, path))
    return tasks


def build_tasks(configs: list[TaskConfig]) -> list[Any]:
    """Make the harness's task objects, with their documents loaded.

    Raises:
        UserError: the harness cannot make a task of a config, or cannot read its data.
    """
    import datasets
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    # Without its own 200 folders of tasks, whose listing takes seconds and which need the hub.
    manager = TaskManager(include_defaults=False)
    tasks = []
    for config in configs:
        try:
            tasks += manager.load([config])["tasks"].values()
        except (datasets.exceptions.DatasetsError, OSError, ValueError, TypeError) as error:
            cause = error.__cause__ or error
            raise UserError(f"task {config['task']}: cannot be loaded: {cause}") from error
    return tasks


def data_files(config: TaskConfig) -> list[Path]:
    """The data files of a task that are our own."""
    if config.get("dataset_path") not in FILE_FORMATS:
        return []
    named = config.get("dataset_kwargs", {}).get("data_files", [])
    return [Path(file) for file in _flat(named)]


def _with_absolute_paths(config: TaskConfig, source: Path) -> TaskConfig:
    """The harness reads data files relative to where it is started; a suite carries its own."""
    if config.get("dataset_path") not in FILE_FORMATS:
        return config
    kwargs = config.get("dataset_kwargs") or {}
    named = kwargs.get("data_files", [])
    for file in _flat(named):
        if not (source.parent / file).is_file():
            raise UserError(f"{source}: its data file {source.parent / file} does not exist")
    absolute = _mapped(named, source.parent.absolute())
    return {**config, "dataset_kwargs": {**kwargs, "data_files": absolute}}


def _flat(named: Any) -> list[str]:
    """All files of `data_files`, which is a path, a list, or either of them by split."""
    if isinstance(named, dict):
        return [file for part in named.values() for file in _flat(part)]
    return [named] if isinstance(named, str) else list(named)


def _mapped(named: Any, folder: Path) -> Any:
    """`data_files` in its own shape with paths below `folder`."""
    if isinstance(named, dict):
        return {split: _mapped(part, folder) for split, part in named.items()}
    if isinstance(named, str):
        return str(folder / named)
    return [str(folder / file) for file in named]
