"""The task objects of a suite: the harness's own tasks and a user's, with their data."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from eval.configs.humaneval import TASK as HUMANEVAL
from eval.harness.local_data import FILE_FORMATS, LocalData, instead_of_hub
from eval.lm_eval_api import TASKS_FOLDER, TaskManager, load_task_yaml
from pacos.configs.suite import SuiteConfig
from pacos.errors import UserError

NAMED = re.compile(
    r"""^["']?(?:task|group|tag)["']?:\s*["']?([\w.-]+)|^\s*-\s+["']?([\w.-]+)["']?\s*$""",
    re.MULTILINE,
)
"""The name of a task, group or tag in a task file of the harness: its own, or one in a list. A
regular expression searches all 14,000 files in 1 s; parsing them as YAML takes 18 s."""

TaskConfig = dict[str, Any]
"""The content of one task file, with absolute paths of its data files."""


@dataclass(slots=True)
class Suite:
    """Task objects for the harness, and the files they come from."""

    tasks: list[Any] = field(default_factory=list)
    """The harness's task and group objects, with their documents loaded."""
    files: dict[str, Path] = field(default_factory=dict)
    """Every local file that determines the tasks, by its name in the manifest."""


def build_suite(suite: SuiteConfig) -> Suite:
    """Build the tasks of a suite: those from its own folder first, then the harness's.

    A name stands for a YAML file in the suite's folder, or for all that match a wildcard; otherwise
    for a task, group or tag of the harness. `humaneval` is left out: eval/humaneval builds it.

    Raises:
        UserError: a task is unknown, or it or its data cannot be read.
    """
    built = Suite()
    folder = suite.data_folder()
    data = None if folder is None else LocalData(folder)
    names = []
    with instead_of_hub(data):
        for name in (name for name in suite.tasks if name != HUMANEVAL):
            files = _own_files(suite, name)
            for file in files:
                config = _read(file)
                built.files |= {f"suite/{file.stem}": file, **_data_files(config)}
                built.tasks += _load(_manager(), config, str(config["task"]))
            names += [] if files else [name]
        built.tasks += _from_harness(names, suite)
    built.files |= {f"data/{name}": path for name, path in data.files.items()} if data else {}
    _set_shots(built.tasks, suite)
    return built


def leaves(tasks: list[Any]) -> Iterator[Any]:
    """Yield the tasks, including those inside groups."""
    for task in tasks:
        yield from task.get_all_tasks() if hasattr(task, "get_all_tasks") else [task]


def _own_files(suite: SuiteConfig, name: str) -> list[Path]:
    """Return the files in the suite's folder that a name stands for."""
    folder = suite.directory()
    if not any(sign in name for sign in "*?["):
        file = folder / f"{name}.yaml"
        return [file] if file.is_file() else []
    matching = [
        file
        for file in sorted(folder.glob("*.yaml"))
        # By the harness's convention, `_` starts the name of a file that others include.
        if fnmatch(file.stem, name) and not file.stem.startswith("_")
    ]
    if not matching:
        raise UserError(f"suite.tasks = {name}: no file in {folder} matches")
    return matching


def _read(path: Path) -> TaskConfig:
    try:
        task = load_task_yaml(path)
    except (yaml.YAMLError, ValueError, OSError, ImportError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as a task of the harness: {error}") from error
    if not isinstance(task.get("task"), str):
        raise UserError(f"{path}: has no key `task`; give the task a name there")
    if "/" in task["task"]:
        raise UserError(
            f"{path}: task = {task['task']}: result files are named after it; write it without /"
        )
    return _with_absolute_paths(task, path)


def _from_harness(names: list[str], suite: SuiteConfig) -> list[Any]:
    """Load tasks, groups and tags of the harness, and groups in the suite's own folder."""
    if not names:
        return []
    own = suite.directory()
    # A TaskManager for all of the harness's 14,000 files takes seconds to build, so only the
    # folders are listed in which the names are likely, then those in which they occur.
    manager = _manager([*_likely_folders(names), own])
    folders: dict[str, set[Path]] = {}
    if any(name not in manager.all_tasks for name in names):
        folders = _folders_by_name()
        elsewhere = {folder for name in names for folder in folders.get(name, ())}
        manager = _manager([*sorted(elsewhere), own])
    for name in names:
        if name not in manager.all_tasks:
            known = [*folders, *(file.stem for file in own.glob("*.yaml"))]
            near = ", ".join(difflib.get_close_matches(name, known, n=4, cutoff=0.5))
            raise UserError(
                f"suite.tasks = {name}: neither a task of the harness nor a YAML file in {own}; "
                + (f"did you mean {near}?" if near else "lm_eval ls tasks lists them")
            )
    return [task for name in names for task in _load(manager, name, name)]


def _manager(folders: list[Path] | None = None) -> Any:
    """Return a manager that knows the tasks of these folders only."""
    return TaskManager(include_defaults=False, include_path=folders)


def _likely_folders(names: list[str]) -> list[Path]:
    """Return the harness's folders whose name a task name starts with, as most do."""
    return [
        folder
        for folder in sorted(TASKS_FOLDER.iterdir())
        if folder.is_dir() and any(name.startswith(folder.name) for name in names)
    ]


def _folders_by_name() -> dict[str, set[Path]]:
    """Return every name of a task, group or tag, with the folders that mention it."""
    folders: defaultdict[str, set[Path]] = defaultdict(set)
    for file in TASKS_FOLDER.glob("*/**/*.yaml"):
        for names in NAMED.findall(file.read_text(encoding="utf-8", errors="replace")):
            # One of the pattern's two groups is empty.
            name = "".join(names)
            folders[name].add(TASKS_FOLDER / file.relative_to(TASKS_FOLDER).parts[0])
    return folders


def _load(manager: Any, wanted: str | TaskConfig, name: str) -> list[Any]:
    """Load what a name or a task file stands for: groups, and tasks outside of groups."""
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = manager.load([wanted])
    except UserError:
        raise
    except (datasets.exceptions.DatasetsError, OSError, ValueError, TypeError, KeyError) as error:
        cause = error.__cause__ or error
        raise UserError(
            f"task {name}: cannot be loaded: {cause}; to read its rows from local files, set "
            "suite.data_dir; to download them, run pacos prefetch eval suite=… on a machine with a "
            "network"
        ) from error
    # The manager also lists the groups inside the wanted one.
    groups = [group for group in loaded.get("groups", {}).values() if group.name == name]
    inside = {task.task_name for task in leaves(groups)}
    return [*groups, *(task for task in loaded["tasks"].values() if task.task_name not in inside)]


def _set_shots(tasks: list[Any], suite: SuiteConfig) -> None:
    """Set the few-shot examples that the suite asks for. The longer of two matching names wins.

    A group's name is the prefix of its tasks' names, so it also applies to a single task of it.
    """
    for name, shots in sorted(suite.num_fewshot.items(), key=lambda item: len(item[0])):
        chosen = [task for task in tasks if name in (getattr(task, "name", None), _name(task))]
        chosen += [task for task in leaves(tasks) if f"{_name(task)}_".startswith(f"{name}_")]
        if not chosen:
            known = ", ".join(dict.fromkeys(map(_name, tasks)))
            raise UserError(
                f"suite.num_fewshot.{name}: no such task in the suite, which has {known}; "
                f"~suite.num_fewshot.{name} removes the key"
            )
        for task in leaves(chosen):
            task.set_config("num_fewshot", shots)


def _name(task: Any) -> str:
    return str(getattr(task, "task_name", None) or task.name)


def _data_files(config: TaskConfig) -> dict[str, Path]:
    """Return the local data files that a task names, by their names in the manifest."""
    if config.get("dataset_path") not in FILE_FORMATS:
        return {}
    named = config.get("dataset_kwargs", {}).get("data_files", [])
    return {f"data/{Path(file).name}": Path(file) for file in _flat(named)}


def _with_absolute_paths(config: TaskConfig, source: Path) -> TaskConfig:
    """Resolve data files relative to the task file; the harness would use the working directory."""
    if config.get("dataset_path") not in FILE_FORMATS:
        return config
    kwargs = config.get("dataset_kwargs") or {}
    named = kwargs.get("data_files", [])
    for file in _flat(named):
        if not (source.parent / file).is_file():
            raise UserError(f"{source}: its data file {source.parent / file} does not exist")
    absolute = _resolved(named, source.parent.absolute())
    return {**config, "dataset_kwargs": {**kwargs, "data_files": absolute}}


def _flat(named: Any) -> list[str]:
    """Return all files in `data_files`, which is a path, a list, or either of them by split."""
    if isinstance(named, dict):
        return [file for part in named.values() for file in _flat(part)]
    return [named] if isinstance(named, str) else list(named)


def _resolved(named: Any, folder: Path) -> Any:
    """Return `data_files` in the same shape, with paths below `folder`."""
    if isinstance(named, dict):
        return {split: _resolved(part, folder) for split, part in named.items()}
    if isinstance(named, str):
        return str(folder / named)
    return [str(folder / file) for file in named]
