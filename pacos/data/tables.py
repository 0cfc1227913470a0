"""CSV, Parquet and Arrow files as memory-mapped tables, made by the `datasets` library."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pacos.cache import cache_directory
from pacos.data.chunk import Chunk, TableChunk
from pacos.data.compressed import is_compressed, open_bytes
from pacos.data.digests import digest_of
from pacos.data.encoding import check_unicode, check_utf8
from pacos.data.location import SourceKind
from pacos.errors import UserError, first_line
from pacos.files import atomic_folder, locked

ROWS_AT_ONCE = 1000
"""Rows of a chunk: 0.3 s of tokenization for rows as long as Alpaca's."""
LONGEST_FIELD = 2**24
"""Characters of the longest field of a CSV file; Python's own limit is 131,072."""

TABLE = "rows-{:05}.arrow"
"""Files of a converted table."""

FORMS = {
    SourceKind.csv: "CSV",
    SourceKind.tsv: "TSV",
    SourceKind.parquet: "Parquet",
    SourceKind.arrow: "Arrow",
}
"""Names of the formats, for messages."""
SEPARATORS = {SourceKind.csv: ",", SourceKind.tsv: "\t"}


def table_of(file: Path, kind: SourceKind) -> Any:
    """Return a file as a `datasets.Dataset` that is mapped into memory, not read into it.

    The first call converts the file into the cache of pacos, under a name made from its content.

    Raises:
        UserError: the file is damaged, or no file of its kind.
    """
    import datasets

    folder = cache_directory() / "tables" / f"{kind.name}-{digest_of(file)[:32]}"
    if not folder.is_dir():
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                with atomic_folder(folder) as partial:
                    _convert(file, kind, partial)
    parts = [datasets.Dataset.from_file(str(part)) for part in sorted(folder.glob("*.arrow"))]
    return datasets.concatenate_datasets(parts) if parts else datasets.Dataset.from_dict({})


def _convert(file: Path, kind: SourceKind, folder: Path) -> None:
    """Write a file as Arrow streams into an empty folder."""
    options = _csv_options(file, SEPARATORS[kind]) if kind in SEPARATORS else {}
    if options and not options["features"]:
        return  # an empty file, which pandas refuses
    work = folder / "work"
    work.mkdir()
    plain = file
    if is_compressed(file):
        plain = work / file.stem
        with open_bytes(file) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
    with readable(str(file), FORMS[kind]):
        builder = _builder_class(kind)(
            cache_dir=str(work / "cache"), data_files={"train": [str(plain)]}, **options
        )
        builder.download_and_prepare()
        # `datasets` cannot open a table that it made of no rows.
        split = builder.info.splits.get("train")
        table = builder.as_dataset("train") if split and split.num_examples else None
    parts = [] if table is None else table.cache_files
    for number, part in enumerate(parts):
        Path(part["filename"]).rename(folder / TABLE.format(number))
    del table
    shutil.rmtree(work)


def _builder_class(kind: SourceKind) -> Any:
    # The classes rather than load_dataset, which asks the hub to count the download.
    from datasets.packaged_modules.arrow.arrow import Arrow
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.parquet.parquet import Parquet

    return {
        SourceKind.csv: Csv,
        SourceKind.tsv: Csv,
        SourceKind.parquet: Parquet,
        SourceKind.arrow: Arrow,
    }[kind]


def _csv_options(file: Path, separator: str) -> dict[str, Any]:
    """Return pandas' options that keep every field as the text that it is: 001, NA, None."""
    import datasets

    names = _check_csv(file, separator)
    return {
        "sep": separator,
        "features": datasets.Features({name: datasets.Value("string") for name in names}),
        "keep_default_na": False,
        "na_filter": False,
        # Otherwise rows with one field too many make the first column an index.
        "index_col": False,
    }


def _check_csv(file: Path, separator: str) -> list[str]:
    """Return the column names; refuse rows that pandas would fill up or cut without a word."""
    csv.field_size_limit(LONGEST_FIELD)
    with open_bytes(file) as content:
        head = content.read(4)
    check_unicode(file, head)
    try:
        with open_bytes(file) as content:
            text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, delimiter=separator, strict=True)
            # The index of a table that pandas wrote has no name; so pandas names it.
            names = next((row for row in reader if row), [])
            names = [name or f"Unnamed: {index}" for index, name in enumerate(names)]
            repeated = [name for name in names if names.count(name) > 1]
            if repeated:
                raise UserError(f"{file}:1: has two columns {repeated[0]}; rename one")
            line = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(names):
                    raise UserError(
                        f"{file}:{line}: has {len(row)} fields, but the header has {len(names)}; "
                        "put fields with a separator or a line break in double quotes"
                    )
                line = reader.line_num + 1
            text.detach()
    except UnicodeDecodeError:
        check_utf8(file)
        raise
    except csv.Error as error:
        raise UserError(
            f"{file}:{line}: cannot be read as {'CSV' if separator == ',' else 'TSV'}: {error}; "
            "is a double quote missing?"
        ) from error
    return names


@contextlib.contextmanager
def readable(name: str, form: str) -> Iterator[None]:
    """Turn errors of `datasets` inside into one for the user.

    Raises:
        UserError: the data cannot be read.
    """
    import datasets
    from pyarrow import ArrowException

    try:
        with quiet():
            yield
    except (ArrowException, OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        cause = error.__cause__ or error
        remedy = "was its copy cut off?"
        if "Multiple matches" in str(cause):
            remedy = "has it a column twice?"
        elif not isinstance(cause, ArrowException | OSError):
            remedy = "change the column that datasets has no type for"
        raise UserError(
            f"{name}: cannot be read as {form}: {first_line(cause)}; {remedy}"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the logs and progress bars of `datasets` off the terminal inside."""
    import datasets

    datasets.disable_progress_bars()
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)


def table_chunks(table: Any, base: int = 0) -> Iterator[Chunk]:
    """Yield the rows of a `datasets.Dataset` in chunks.

    Args:
        table: the rows.
        base: added to the row numbers, which start at 1.
    """
    number = base + 1
    for part in table.with_format("arrow").iter(ROWS_AT_ONCE):
        yield TableChunk.of(number, part)
        number += part.num_rows
