"""Hub data sets read from local files, in the hub's columns, so that prompts stay the same.

The harness's task files are used unchanged; only the source of their rows differs. Rows come from
the files that a benchmark's authors publish (pacos/benchmarks/catalogue.py), otherwise from files
that hold the hub's own rows: FOLDER/DATA_SET/CONFIG/SPLIT.jsonl (or .json, .parquet, .csv), without
CONFIG if the data set has none, such as kobest_v1/boolq/test.jsonl for skt/kobest_v1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from pacos.benchmarks.catalogue import HUB_DATASETS, UNREADABLE, HubDataset, HubSplit
from pacos.errors import UserError

log = logging.getLogger(__name__)

FILE_FORMATS = ("json", "csv", "parquet", "text")
"""Values of `dataset_path` for tasks that name their own files."""

LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
"""Suffixes of files with the hub's own rows, with the loader of `datasets` for each."""

Splits = dict[str, datasets.Dataset]


class LocalData:
    """A folder of benchmark files, and a record of what was read from it.

    Attributes:
        files: every file read so far, by its path relative to the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, Path] = {}

    def load(self, path: str, config: str | None) -> datasets.DatasetDict:
        """Load all splits of a hub data set that the folder holds.

        Args:
            path: id of the data set on the hub.
            config: its configuration, such as a subject of MMLU.

        Raises:
            UserError: the folder holds none of it, or a file is in another format.
        """
        hub = HUB_DATASETS.get(path)
        splits = self._read_authors_files(hub, config) if hub is not None else {}
        splits = splits or self._read_hub_rows(path, config)
        if not splits:
            patterns = [split.pattern for split in hub.splits.values()] if hub is not None else []
            places = [self._folder / pattern for pattern in patterns]
            places.append(self._hub_folder(path, config) / "SPLIT.jsonl")
            raise UserError(
                f"suite.data_dir = {self._folder}: holds nothing of {path}; looked for "
                + ", ".join(str(place).replace("{config}", str(config)) for place in places)
            )
        return datasets.DatasetDict(splits)

    def _read_authors_files(self, hub: HubDataset, config: str | None) -> Splits:
        splits = self._read_splits(hub.splits, config)
        if splits:
            for name in hub.may_be_empty:
                # Selecting no rows of another split keeps its columns.
                splits.setdefault(name, next(iter(splits.values())).select([]))
            return splits
        splits = self._read_splits(hub.stand_in, config)
        if splits:
            log.warning(
                "%s: the text in %s is not the harness's own; scores on it are not comparable "
                "with published ones",
                hub.path,
                self._folder,
            )
        return splits

    def _read_splits(self, sources: Mapping[str, HubSplit], config: str | None) -> Splits:
        files = {name: source.files(self._folder, config) for name, source in sources.items()}
        return {name: self._read(files[name], sources[name]) for name in files if files[name]}

    def _read(self, files: list[Path], source: HubSplit) -> datasets.Dataset:
        for file in files:
            self._record(file)
        try:
            return datasets.Dataset.from_list([row for file in files for row in source.rows(file)])
        except UNREADABLE as error:
            names = ", ".join(map(str, files))
            raise UserError(
                f"{names}: not in the format that its authors publish ({error!r}); replace it"
            ) from error

    def _read_hub_rows(self, path: str, config: str | None) -> Splits:
        splits = {}
        for file in sorted(self._hub_folder(path, config).glob("*")):
            if file.suffix in LOADERS:
                self._record(file)
                loaded = datasets.load_dataset(LOADERS[file.suffix], data_files=str(file))
                # `datasets` calls the only split of loose files "train", whatever they hold.
                splits[file.stem] = loaded["train"]
        return splits

    def _hub_folder(self, path: str, config: str | None) -> Path:
        folder = self._folder / path.rpartition("/")[2]
        return folder / config if config else folder

    def _record(self, file: Path) -> None:
        self.files[str(file.relative_to(self._folder))] = file


@contextmanager
def instead_of_hub(data: LocalData | None) -> Iterator[None]:
    """Make `datasets.load_dataset` read hub data sets from local files inside the `with` block.

    The harness calls `datasets.load_dataset` deep inside its tasks and offers no hook for another
    source of rows, so the function itself is replaced.
    """
    if data is None:
        yield
        return
    load = datasets.load_dataset

    def load_locally(path: str, name: str | None = None, **options: Any) -> Any:
        if path in FILE_FORMATS:
            return load(path, name, **options)
        # LocalData itself calls load_dataset for files with the hub's rows: give it the original.
        datasets.load_dataset = load
        try:
            return data.load(path, name)
        finally:
            datasets.load_dataset = load_locally

    datasets.load_dataset = load_locally
    try:
        yield
    finally:
        datasets.load_dataset = load
