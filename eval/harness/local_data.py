"""Data sets of the hub from local files: in the columns of the hub, so that prompts are the same.

A benchmark's own tasks of the harness stay as they are; only where their rows come from changes.
Rows are looked for in the files that the benchmark's authors publish, and else in files that hold
the hub's own rows: FOLDER/DATA_SET/CONFIG/SPLIT.jsonl (or .json, .parquet, .csv), without CONFIG
where a data set has none, such as kobest_v1/boolq/test.jsonl for skt/kobest_v1.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from pacos.benchmarks.catalogue import UNREADABLE
from pacos.benchmarks.items import MultipleChoice
from pacos.benchmarks.readers import read_hellaswag, read_mmlu, read_truthfulqa
from pacos.errors import UserError

log = logging.getLogger(__name__)

FILE_FORMATS = ("json", "csv", "parquet", "text")
"""Values of `dataset_path` that mean files which the task itself names."""

Rows = list[dict[str, Any]]
Reader = Callable[[list[Path]], Rows]

FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
"""Endings of files with the hub's own rows."""

HELLASWAG_SHOTS = 2000
"""Rows at the end of the text of HellaSwag that serve as examples and are not scored: the file has
no training rows."""


def _jsonl(files: Iterable[Path]) -> Rows:
    return [
        json.loads(line)
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line
    ]


def _mmlu(files: list[Path]) -> Rows:
    (file,) = files
    return [
        {
            "question": item.question,
            "subject": file.stem.rpartition("_")[0],
            "choices": list(item.choices),
            "answer": item.answers[0],
        }
        for item in read_mmlu("mmlu", file)
    ]


def _hellaswag_text(files: list[Path]) -> Rows:
    (file,) = files
    log.warning("%s is not the harness's own text: its scores cannot be compared", file)
    return [_hellaswag_row(item) for item in read_hellaswag("hellaswag", file)]


def _hellaswag_row(item: MultipleChoice) -> dict[str, Any]:
    label, _, context = item.question.partition(": ")
    return {
        "activity_label": label,
        "ctx_a": context,
        "ctx_b": "",
        "endings": list(item.choices),
        "label": str(item.answers[0]),
    }


def _truthfulqa(files: list[Path]) -> Rows:
    """Targets as the authors make them: the best answer, and all true ones, against the false."""
    (file,) = files
    rows = []
    for item in read_truthfulqa("truthfulqa", file):
        true, false = (
            [choice for at, choice in enumerate(item.choices) if (at in item.answers) is wanted]
            for wanted in (True, False)
        )
        rows.append(
            {
                "question": item.question,
                "mc1_targets": _targets(true[:1], false),
                "mc2_targets": _targets(true, false),
                "best_answer": true[0],
                "correct_answers": true,
                "incorrect_answers": false,
            }
        )
    return rows


def _targets(true: list[str], false: list[str]) -> dict[str, Any]:
    return {"choices": true + false, "labels": [1] * len(true) + [0] * len(false)}


def _crows_pairs(files: list[Path]) -> Rows:
    with files[0].open(encoding="utf-8", newline="") as stream:
        return [{"id": int(row.pop("")), **row} for row in csv.DictReader(stream, strict=True)]


def _tydiqa(files: list[Path]) -> Rows:
    rows = []
    for file in files:
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers = asked["answers"]
                    rows.append(
                        {
                            "id": asked["id"],
                            "title": article.get("title", ""),
                            "context": paragraph["context"],
                            "question": asked["question"],
                            "answers": {"text": [answer["text"] for answer in answers]},
                        }
                    )
    return rows


def _xstest(files: list[Path]) -> Rows:
    with files[0].open(encoding="utf-8", newline="") as stream:
        return [
            {name: row[name] for name in ("prompt", "type", "label")}
            for row in csv.DictReader(stream, strict=True)
        ]


AUTHORS: Mapping[str, Mapping[str, tuple[str, Reader]]] = {
    "cais/mmlu": {
        "test": ("mmlu/test/{config}_test.csv", _mmlu),
        "dev": ("mmlu/dev/{config}_dev.csv", _mmlu),
    },
    "Rowan/hellaswag": {
        "train": ("hellaswag/hellaswag_train.jsonl", _jsonl),
        "validation": ("hellaswag/hellaswag_val.jsonl", _jsonl),
    },
    "openai/gsm8k": {
        "train": ("gsm8k/train.jsonl", _jsonl),
        "test": ("gsm8k/test.jsonl", _jsonl),
    },
    "truthfulqa/truthful_qa": {"validation": ("truthfulqa/TruthfulQA.csv", _truthfulqa)},
    "oskarvanderwal/bbq": {"test": ("bbq/*.jsonl", _jsonl)},
    "jannalu/crows_pairs_multilingual": {
        "test": ("crows_pairs/crows_pairs_anonymized.csv", _crows_pairs)
    },
    "google-research-datasets/tydiqa": {
        "train": ("tydiqa_goldp/*_tydiqa_train.json", _tydiqa),
        "validation": ("tydiqa_goldp/*_tydiqa_dev.json", _tydiqa),
    },
    "walledai/XSTest": {"test": ("xstest/xstest_prompts.csv", _xstest)},
}
"""For data sets of the hub: split, where the authors' file lies, and what reads it."""


class LocalData:
    """A folder of benchmarks' files, and what has been read from it.

    Attributes:
        files: read so far, under their path below the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, Path] = {}

    def load(self, path: str, config: str | None) -> datasets.DatasetDict:
        """All splits of a data set that are there.

        Raises:
            UserError: none is there, or a file is not in the form that its authors publish.
        """
        splits = self._of_authors(path, config) or self._of_hub(path, config)
        if not splits:
            looked = [str(self._folder / where) for where, _ in AUTHORS.get(path, {}).values()]
            looked.append(str(self._hub_folder(path, config) / "SPLIT.jsonl"))
            raise UserError(
                f"suite.data_dir = {self._folder}: holds nothing of {path}; looked for "
                + ", ".join(where.replace("{config}", str(config)) for where in looked)
            )
        return datasets.DatasetDict(splits)

    def _of_authors(self, path: str, config: str | None) -> dict[str, datasets.Dataset]:
        found = {}
        for split, (pattern, read) in AUTHORS.get(path, {}).items():
            files = self._found(pattern.replace("{config}", str(config)))
            if files:
                found[split] = self._read(files, read)
        text = self._found("hellaswag/hellaswag_val_full.txt.bz2")
        if path == "Rowan/hellaswag" and not found and text:
            rows = self._read(text, _hellaswag_text)
            scored = max(len(rows) - HELLASWAG_SHOTS, len(rows) // 2)
            found["validation"] = rows.select(range(scored))
            found["train"] = rows.select(range(scored, len(rows)))
        if found and "train" not in found and path == "google-research-datasets/tydiqa":
            # The task names a training split, of which prompts without examples need no row.
            found["train"] = found["validation"].select([])
        return found

    def _hub_folder(self, path: str, config: str | None) -> Path:
        folder = self._folder / path.rpartition("/")[2]
        return folder / config if config else folder

    def _of_hub(self, path: str, config: str | None) -> dict[str, datasets.Dataset]:
        found = {}
        for file in sorted(self._hub_folder(path, config).glob("*")):
            if file.suffix in FORMATS:
                self._note(file)
                loaded = datasets.load_dataset(FORMATS[file.suffix], data_files=str(file))
                found[file.stem] = loaded["train"]
        return found

    def _found(self, pattern: str) -> list[Path]:
        return sorted(self._folder.glob(pattern))

    def _read(self, files: list[Path], read: Reader) -> datasets.Dataset:
        for file in files:
            self._note(file)
        try:
            return datasets.Dataset.from_list(read(files))
        except UNREADABLE as error:
            names = ", ".join(map(str, files))
            raise UserError(
                f"{names}: not in the form that its authors publish ({error!r}); replace it"
            ) from error

    def _note(self, file: Path) -> None:
        self.files[str(file.relative_to(self._folder))] = file


@contextmanager
def instead_of_hub(data: LocalData | None) -> Iterator[None]:
    """Let every data set of the hub that is loaded meanwhile come from local files."""
    if data is None:
        yield
        return
    load = datasets.load_dataset

    def local(path: str, name: str | None = None, **options: Any) -> Any:
        if path in FILE_FORMATS:
            return load(path, name, **options)
        datasets.load_dataset = load
        try:
            return data.load(path, name)
        finally:
            datasets.load_dataset = local

    datasets.load_dataset = local
    try:
        yield
    finally:
        datasets.load_dataset = load
