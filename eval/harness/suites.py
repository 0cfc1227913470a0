"""A suite: tasks of the harness, its own and a user's, with their data."""

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
"""Where a file of the harness names a task, a group or a tag: of itself, or in a list."""

TaskConfig = dict[str, Any]
"""One task file of the harness, as it is written, with absolute paths of data files."""


@dataclass(slots=True)
class Suite:
    """What the harness is given."""

    tasks: list[Any] = field(default_factory=list)
    """Its task objects and groups of them, with their documents loaded."""
    files: dict[str, Path] = field(default_factory=dict)
    """Every local file that they come from, under a name for the manifest."""


def build_suite(suite: SuiteConfig) -> Suite:
    """Make the tasks of a suite, in the order of the config.

    A name is that of a YAML file in the suite's folder, with wildcards all that match; else that of
    a task, a group or a tag of the harness. `humaneval` is left out: eval/humaneval makes it.

    Raises:
        UserError: a task is not known or cannot be read, or its data cannot.
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
        built.tasks += _of_harness(names, suite)
    built.files |= {f"data/{name}": path for name, path in data.files.items()} if data else {}
    _set_shots(built.tasks, suite)
    return built


def leaves(tasks: list[Any]) -> Iterator[Any]:
    """The tasks, those inside groups too."""
    for task in tasks:
        yield from task.get_all_tasks() if hasattr(task, "get_all_tasks") else [task]


def _own_files(suite: SuiteConfig, name: str) -> list[Path]:
    folder = suite.directory()
    if not any(sign in name for sign in "*?["):
        file = folder / f"{name}.yaml"
        return [file] if file.is_file() else []
    matching = [
        file
        for file in sorted(folder.glob("*.yaml"))
        if fnmatch(file.stem, name) and not file.stem.startswith("_")
    ]
    if not matching:
        raise UserError(f"suite.tasks = {name}: no file of {folder} matches")
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
            f"{path}: task = {task['task']}: files are named after it; write it without /"
        )
    return _with_absolute_paths(task, path)


def _of_harness(names: list[str], suite: SuiteConfig) -> list[Any]:
    """Tasks, groups and tags of the harness, and groups of the suite's own folder."""
    if not names:
        return []
    own = suite.directory()
    manager = _manager([*_folders_of(names), own])
    if any(name not in manager.all_tasks for name in names):
        named = _names_in_harness()
        elsewhere = {folder for name in names for folder in named.get(name, ())}
        manager = _manager([*sorted(elsewhere), own])
    for name in names:
        if name not in manager.all_tasks:
            known = [*named, *(file.stem for file in own.glob("*.yaml"))]
            near = ", ".join(difflib.get_close_matches(name, known, n=4, cutoff=0.5))
            raise UserError(
                f"suite.tasks = {name}: no task of the harness nor a YAML file in {own}; "
                + (f"did you mean {near}?" if near else "lm_eval ls tasks lists them")
            )
    return [task for name in names for task in _load(manager, name, name)]


def _manager(folders: list[Path] | None = None) -> Any:
    """Knows the tasks of some folders: to list all 14,000 files of the harness takes seconds."""
    return TaskManager(include_defaults=False, include_path=folders)


def _folders_of(names: list[str]) -> list[Path]:
    """Folders of the harness whose names tasks begin with, where they usually are."""
    return [
        folder
        for folder in sorted(TASKS_FOLDER.iterdir())
        if folder.is_dir() and any(name.startswith(folder.name) for name in names)
    ]


def _names_in_harness() -> dict[str, set[Path]]:
    """Every name of a task, a group or a tag, and the folders that speak of it."""
    root = TASKS_FOLDER
    found: defaultdict[str, set[Path]] = defaultdict(set)
    for file in root.glob("*/**/*.yaml"):
        for words in NAMED.findall(file.read_text(encoding="utf-8", errors="replace")):
            found["".join(words)].add(root / file.relative_to(root).parts[0])
    return found


def _load(manager: Any, wanted: str | TaskConfig, name: str) -> list[Any]:
    import datasets

    datasets.disable_progress_bars()
    try:
        made = manager.load([wanted])
    except UserError:
        raise
    except (datasets.exceptions.DatasetsError, OSError, ValueError, TypeError, KeyError) as error:
        cause = error.__cause__ or error
        raise UserError(
            f"task {name}: cannot be loaded: {cause}; rows on this machine are read from "
            "suite.data_dir; those of the hub come with pacos prefetch eval suite=…, typed on a "
            "machine with a network"
        ) from error
    groups = [group for group in made.get("groups", {}).values() if group.name == name]
    inside = {task.task_name for task in leaves(groups)}
    return [*groups, *(task for task in made["tasks"].values() if task.task_name not in inside)]


def _set_shots(tasks: list[Any], suite: SuiteConfig) -> None:
    """Give tasks the number of examples that the suite wants; of two names the longer counts.

    A group's name is the beginning of its tasks' names, so that it is for one of them alone, too.
    """
    for name, shots in sorted(suite.num_fewshot.items(), key=lambda item: len(item[0])):
        chosen = [task for task in tasks if name in (getattr(task, "name", None), _name(task))]
        chosen += [task for task in leaves(tasks) if f"{_name(task)}_".startswith(f"{name}_")]
        if not chosen:
            known = ", ".join(dict.fromkeys(map(_name, tasks)))
            raise UserError(
                f"suite.num_fewshot.{name}: no such task in the suite; it has {known}; "
                f"~suite.num_fewshot.{name} takes it away"
            )
        for task in leaves(chosen):
            task.set_config("num_fewshot", shots)


def _name(task: Any) -> str:
    return str(getattr(task, "task_name", None) or task.name)


def _data_files(config: TaskConfig) -> dict[str, Path]:
    """The data files of a task that are our own."""
    if config.get("dataset_path") not in FILE_FORMATS:
        return {}
    named = config.get("dataset_kwargs", {}).get("data_files", [])
    return {f"data/{Path(file).name}": Path(file) for file in _flat(named)}


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
