"""The files of a data set on the hub: resolved by `datasets`, downloaded into the hub's cache.

`datasets` finds subsets, splits and files, but its own copy of the rows is not used: it cannot be
opened by revision without a network, and JSON does not survive it (see `pacos.data.json_rows`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pacos.data.layout import choose, kind_of
from pacos.data.location import Location, SourceKind
from pacos.data.tables import quiet
from pacos.errors import UserError, first_line
from pacos.files import read_json, write_json
from pacos.text.typed import typed

FILES_KINDS = ", ".join(
    kind.name for kind in SourceKind if kind not in (SourceKind.saved, SourceKind.hub)
)


def downloaded(path: str, location: Location) -> Location:
    """Return a location on the hub with the files of its split, downloaded if they are missing.

    Without a network, files that were downloaded for the same path are found again.

    Raises:
        UserError: it cannot be reached and is not in the cache, or has no such subset or split. The
            text does not repeat the path.
    """
    import datasets

    with quiet():
        try:
            builder, split = _resolve(location)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            known = _remembered(location)
            if known is None:
                # The hub answered, and prefetch would get the same answer.
                remedy = (
                    "check its name and your access (HF_TOKEN), or give a folder with its files"
                )
                if not isinstance(error, datasets.exceptions.DatasetsError):
                    command = f"pacos prefetch {typed('data.path', path)}"
                    remedy = f"on a machine with a network, run: {command}"
                raise UserError(f"cannot be loaded: {first_line(error)}; {remedy}") from error
            return _with_files(location, known)
        # The cached copy of a data set, taken if the hub cannot be reached, has no files.
        urls = (builder.config.data_files or {}).get(split)
        known = _remembered(location) if urls is None else _download(builder, urls)
        if known is None:
            raise UserError(
                "cannot be reached, and is not in the cache; on a machine with a network, run: "
                f"pacos prefetch {typed('data.path', path)}"
            )
    write_json(_memory(location), known)
    return _with_files(location, known)


def _resolve(location: Location) -> tuple[Any, str]:
    """Return the builder of the subset that a location names, and the name of its split."""
    import datasets

    name, revision = str(location.path), location.revision
    builders: dict[str | None, Any] = {}

    def builder_of(subset: str | None) -> Any:
        if subset not in builders:
            builders[subset] = datasets.load_dataset_builder(name, subset, revision=revision)
        return builders[subset]

    def splits(subset: str) -> Sequence[str]:
        files = builder_of(None if subset == default else subset).config.data_files
        return [str(name) for name in files or {"train": ()}]

    default: str | None
    try:
        default = builder_of(None).config.name
        subsets = [*builder_of(None).builder_configs] or [default]
    except ValueError:
        # Several subsets, and none is the default.
        default = None
        subsets = datasets.get_dataset_config_names(name, revision=revision)
    subset, split = choose(location.choice, subsets, default, splits)
    return builder_of(None if subset == default else subset), split


def _download(builder: Any, urls: Sequence[str]) -> list[str]:
    from datasets import DownloadConfig, DownloadManager

    manager = DownloadManager(
        dataset_name=builder.dataset_name,
        download_config=DownloadConfig(token=builder.token, disable_tqdm=True),
        record_checksums=False,
    )
    return [str(file) for file in manager.download(list(urls))]


def _memory(location: Location) -> Path:
    """Return the file that lists the downloaded files, in the cache that HF_HOME places."""
    from datasets.config import HF_DATASETS_CACHE

    key = json.dumps([str(location.path), location.revision, location.choice])
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return Path(HF_DATASETS_CACHE) / "pacos" / f"{name}.json"


def _remembered(location: Location) -> list[str] | None:
    """Return the files that an earlier call downloaded, or None if one is missing."""
    try:
        files = [str(file) for file in read_json(_memory(location))]
    except (OSError, ValueError):
        return None
    return files if all(Path(file).is_file() for file in files) else None


def _with_files(location: Location, names: Sequence[str]) -> Location:
    files = tuple(map(Path, names))
    if not files:
        raise UserError("has no files in this split; name another")
    kinds = {kind_of(file) for file in files}
    if len(kinds) != 1 or None in kinds:
        raise UserError(
            f"its files, such as {files[0].name}, are not of one of the kinds {FILES_KINDS}; "
            "convert them"
        )
    return replace(location, kind=SourceKind(kinds.pop()), files=files)
