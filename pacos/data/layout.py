"""Subsets, splits and shards of a folder, by the names of its files, as on the hub.

The rules are those of the `datasets` library, which is too heavy for the checks before a run: a
README.md with `configs` decides; otherwise the words train, validation and test in the names do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pacos.errors import UserError
from pacos.files import read_json

KINDS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
"""The kind of rows by the suffix of a file; see `pacos.data.location.SourceKind`."""
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")

HIDDEN = (".", "__")
METADATA = frozenset({"dataset_info.json", "dataset_infos.json", "config.json"})
"""JSON files without rows that data sets on the hub carry."""
DOCUMENTS = re.compile(
    r"(readme|license|licence|notice|citation|changelog|dataset_?card)\b.*", re.I
)
"""Names of files that nobody expects to be read as rows."""

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
SHARD_NAME = re.compile(r"(?P<split>\w+(\.\w+)*)-\d{5}-of-\d{5}.*")
"""A shard as `Dataset.push_to_hub` names it: train_sft-00000-of-00003-a3ecf92756993583.parquet."""

NUMBERED = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.[a-z.]+)")
"""A shard by whose name the others are known."""

DEFAULT = "default"
"""Subset of data without named subsets."""

REMEDY = (
    "give a finished run of pacos selfinstruct; a JSON, JSONL, CSV, TSV, Parquet or Arrow file, "
    "also compressed; a folder of such files, or one that datasets saved; or a hub id owner/name"
)


class LocationError(UserError):
    """A data path that names no data. Its text does not repeat the path."""

    def __init__(self, fault: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault
        self.remedy = remedy


Splits = Mapping[str, tuple[Path, ...]]
"""Split to its shards, in order."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The subsets of a data set, with their splits."""

    subsets: Mapping[str, Splits]
    default: str | None = DEFAULT
    """The subset to take if none is named; None if one must be named."""
    notes: tuple[str, ...] = ()
    """Files that are not read."""

    @classmethod
    def single(cls, path: Path) -> Layout:
        """Return the layout of a file: one split, train."""
        return cls({DEFAULT: {"train": (path,)}})


def kind_of(file: Path) -> str | None:
    """Return the kind of rows that a file holds, compressed or not, or None if it has none."""
    suffixes = file.suffixes
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return KINDS.get(suffixes[-1]) if suffixes else None


def choose(
    choice: str | None,
    subsets: Sequence[str],
    default: str | None,
    splits: Callable[[str], Sequence[str]],
) -> tuple[str, str]:
    """Return the subset and the split that a path names.

    Args:
        choice: SUBSET/SPLIT, SUBSET or SPLIT; None takes the split train.
        subsets: all that there are.
        default: the subset to take if none is named; None if one must be named.
        splits: returns the splits of a subset.

    Raises:
        LocationError: it names none. The message lists those that exist.
    """
    subset, split = default, "train"
    if choice is not None and "/" in choice:
        subset, _, split = choice.partition("/")
    elif choice is not None and default is not None and choice in splits(default):
        split = choice
    elif choice is not None:
        subset = choice
    if subset is None or subset not in subsets:
        names = "" if default is None else f"its splits are {', '.join(splits(default))}"
        others = ", ".join(name for name in subsets if name != DEFAULT)
        names += f"{'; ' if names else ''}its subsets are {others}" if others else ""
        wanted = "split or subset" if subset == choice else "subset"
        fault = "has several subsets" if subset is None else f"has no {wanted} {subset}"
        raise LocationError(f"{fault}; {names}", "name one as PATH:SPLIT or PATH:SUBSET/SPLIT")
    if split not in splits(subset):
        of_subset = "" if subset == default else f" in the subset {subset}"
        fault = f"has no split {split}{of_subset}, only {', '.join(splits(subset)) or 'none'}"
        raise LocationError(fault, "name one as PATH:SPLIT or PATH:SUBSET/SPLIT")
    return subset, split


def is_saved(folder: Path) -> bool:
    """Return True if `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote the folder."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def saved_splits(folder: Path) -> Layout:
    """Return the splits of a saved data set: each the folder of one."""
    if (folder / "state.json").is_file():
        return Layout.single(folder)
    try:
        names = read_json(folder / "dataset_dict.json")["splits"]
        return Layout({DEFAULT: {str(name): (folder / str(name),) for name in names}})
    except (ValueError, KeyError, TypeError) as error:
        raise LocationError("its dataset_dict.json does not list its splits") from error


def layout_of(folder: Path) -> Layout:
    """Return the subsets, splits and shards of a folder; no subsets if it holds no rows.

    Raises:
        LocationError: README.md names files that are not there.
    """
    configs = _configs(folder / "README.md")
    if configs:
        subsets = {str(config.get("config_name", DEFAULT)): config for config in configs}
        marked = [name for name, config in subsets.items() if config.get("default")]
        only = [*subsets] if len(subsets) == 1 else [name for name in subsets if name == DEFAULT]
        return Layout(
            {name: _config_splits(folder, config) for name, config in subsets.items()},
            default=next(iter(marked or only), None),
        )
    files = _files(folder)
    shards = [file for file in files if kind_of(file) is not None]
    others = [str(file.relative_to(folder)) for file in files if kind_of(file) is None]
    note = (f"{folder}: not read, because their suffix is not one of rows: {', '.join(others)}",)
    if not shards:
        return Layout({})
    return Layout({DEFAULT: _splits_by_name(folder, shards)}, notes=note if others else ())


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder in natural order, without hidden ones and documents."""
    files: list[Path] = []
    walked: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        # Links may lead in a circle.
        real = os.path.realpath(parent)
        if real in walked:
            folders.clear()
            continue
        walked.add(real)
        # Pruned in place, so that .git and the like are not walked through.
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(HIDDEN)
            and name not in METADATA
            and (kind_of(Path(name)) is not None or not DOCUMENTS.fullmatch(name))
        ]
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[int, int | str]]:
    """Return a sort key that puts part-2 before part-10."""
    pieces = re.split(r"(\d+)", str(file))
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces]


def _splits_by_name(folder: Path, shards: Sequence[Path]) -> Splits:
    splits: dict[str, list[Path]] = {}
    without: list[Path] = []
    for file in shards:
        split = _split_of(file.relative_to(folder))
        (without if split is None else splits.setdefault(split, [])).append(file)
    if without and "train" in splits:
        raise LocationError(
            f"{without[0].name} belongs to no split, but {splits['train'][0].name} to train",
            "move it, or list the data_files of each split in README.md",
        )
    if without:
        splits = {"train": without, **splits}
    return {name: tuple(files) for name, files in splits.items()}


def _split_of(file: Path) -> str | None:
    shard = SHARD_NAME.fullmatch(file.name)
    if shard is not None and (file.parent.name == "data" or _word(shard["split"].split("_")[0])):
        return shard["split"]
    # The file's own name first, then its folders from the inside out.
    for part in reversed(file.parts):
        words = [_word(word) for word in re.split(r"[-._ \d]+", part)]
        split = next((word for word in words if word is not None), None)
        if split is not None:
            return split
    return None


def missing_shards(files: Sequence[Path]) -> list[str]:
    """Return the names of shards that belong between those of a split and are not there."""
    names = {file.name for file in files}
    missing = []
    for name in sorted(names):
        numbered = NUMBERED.fullmatch(name)
        if numbered is not None:
            begin, total, end = numbered.groups()
            wanted = (f"{begin}-{n:05}-of-{total}{end}" for n in range(int(total)))
            missing += [other for other in wanted if other not in names]
    return list(dict.fromkeys(missing))


def _word(word: str) -> str | None:
    return SPLIT_WORDS.get(word.lower())


def _configs(readme: Path) -> list[dict[str, Any]]:
    """Return the `configs` in the YAML header of a data card; none without them."""
    if not readme.is_file():
        return []
    header = re.match(
        r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.S
    )
    try:
        card = yaml.safe_load(header[1]) if header else None
    except yaml.YAMLError:
        return []
    configs = card.get("configs") if isinstance(card, dict) else None
    return [config for config in configs or [] if isinstance(config, dict)]


def _config_splits(folder: Path, config: Mapping[str, Any]) -> Splits:
    data_files = config.get("data_files")
    if data_files is None:
        below = folder / str(config.get("data_dir", "."))
        return _splits_by_name(below, [file for file in _files(below) if kind_of(file)])
    splits: dict[str, list[Path]] = {}
    for split, pattern in _patterns(data_files):
        matches = [path for path in folder.glob(pattern) if not path.name.startswith(".")]
        files = [file for path in matches for file in (_files(path) if path.is_dir() else [path])]
        if not files:
            raise LocationError(
                f"README.md names {pattern} for the split {split}, which is not there",
                "add the file, or correct README.md",
            )
        splits.setdefault(split, []).extend(sorted(files, key=_natural))
    return {name: tuple(files) for name, files in splits.items()}


def _patterns(data_files: Any) -> Iterator[tuple[str, str]]:
    """Yield pairs of split and pattern for every form in which a card may write `data_files`."""
    if isinstance(data_files, Mapping):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    for entry in [data_files] if isinstance(data_files, str) else data_files:
        split, paths = (
            (str(entry.get("split", "train")), entry["path"])
            if isinstance(entry, Mapping)
            else ("train", entry)
        )
        for path in [paths] if isinstance(paths, str) else paths:
            yield split, str(path)
