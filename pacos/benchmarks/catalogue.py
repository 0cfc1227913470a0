"""The table of benchmarks: for each, its files, their readers and the hub data set they replace.

A benchmark is read in two forms. Decontamination reads its scored items (`Benchmark.read`); the
evaluation harness reads rows in the hub's columns (`Benchmark.hub`), so that its prompts do not
depend on where the rows come from. To add a benchmark, write its readers in readers.py and its row
here, then name it in a suite's YAML.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pacos.benchmarks import readers
from pacos.benchmarks.items import Item
from pacos.errors import UserError
from pacos.suites import SHIPPED_SUITES

UNREADABLE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, csv.Error)
"""Exceptions of the readers for a file in another format. A damaged archive raises OSError or
EOFError."""


@dataclass(frozen=True, slots=True)
class HubSplit:
    """One split of a hub data set, in its authors' files."""

    pattern: str
    """Glob below the data folder. `{config}` stands for the data set's configuration on the hub,
    such as the subject in MMLU."""
    rows: Callable[[Path], readers.HubRows]
    """Reads one file into rows with the hub's columns."""

    def files(self, data_dir: Path, config: str | None) -> list[Path]:
        """Return the files of the split that exist, sorted by name."""
        return sorted(data_dir.glob(self.pattern.replace("{config}", str(config))))


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """A hub data set that can be read from its authors' files instead."""

    path: str
    """Id on the hub, as `dataset_path` in the harness's task files spells it."""
    splits: Mapping[str, HubSplit]
    stand_in: Mapping[str, HubSplit] = field(default_factory=dict)
    """Read if none of the files of `splits` exists. Its text differs from the hub's, so scores on
    it are not comparable with published ones."""
    may_be_empty: tuple[str, ...] = ()
    """Splits that the task file names but reads only for few-shot examples. Without a file they
    become empty, so that the task still works with zero examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark: where its scored items are and how to read them."""

    pattern: str
    """Glob of the scored files below `folder`, or below the data folder."""
    read: Callable[[str, Path], Iterator[Item]]
    """Reads the items of one file; the first argument is the benchmark's name."""
    folder: Path | None = None
    """Folder of the files, for a benchmark that comes with pacos."""
    hub: HubDataset | None = None
    """The hub data set that the harness's tasks load. None if they name their files themselves."""

    def files(self, data_dir: Path | None) -> list[Path]:
        """Return the scored files that exist, sorted by name."""
        folder = self.folder or data_dir
        return [] if folder is None else sorted(folder.glob(self.pattern))


TYDIQA = HubDataset(
    path="google-research-datasets/tydiqa",
    # All languages at once: the harness's tasks pick theirs by the prefix of a row's id.
    splits={
        "train": HubSplit("tydiqa_goldp/*_tydiqa_train.json", readers.tydiqa_rows),
        "validation": HubSplit("tydiqa_goldp/*_tydiqa_dev.json", readers.tydiqa_rows),
    },
    may_be_empty=("train",),
)

BENCHMARKS = {
    "smoke": Benchmark(pattern="*.jsonl", read=readers.read_smoke, folder=SHIPPED_SUITES / "smoke"),
    "mmlu": Benchmark(
        pattern="mmlu/test/*_test.csv",
        read=readers.read_mmlu,
        hub=HubDataset(
            path="cais/mmlu",
            splits={
                "test": HubSplit("mmlu/test/{config}_test.csv", readers.mmlu_rows),
                "dev": HubSplit("mmlu/dev/{config}_dev.csv", readers.mmlu_rows),
            },
        ),
    ),
    "hellaswag": Benchmark(
        pattern="hellaswag/hellaswag_val_full.txt.bz2",
        read=readers.read_hellaswag,
        hub=HubDataset(
            path="Rowan/hellaswag",
            splits={
                "train": HubSplit("hellaswag/hellaswag_train.jsonl", readers.jsonl_rows),
                "validation": HubSplit("hellaswag/hellaswag_val.jsonl", readers.jsonl_rows),
            },
            stand_in={
                "validation": HubSplit(
                    "hellaswag/hellaswag_val_full.txt.bz2", readers.hellaswag_text_scored
                ),
                "train": HubSplit(
                    "hellaswag/hellaswag_val_full.txt.bz2", readers.hellaswag_text_examples
                ),
            },
        ),
    ),
    "gsm8k": Benchmark(
        pattern="gsm8k/test.jsonl",
        read=readers.read_gsm8k,
        hub=HubDataset(
            path="openai/gsm8k",
            splits={
                "train": HubSplit("gsm8k/train.jsonl", readers.jsonl_rows),
                "test": HubSplit("gsm8k/test.jsonl", readers.jsonl_rows),
            },
        ),
    ),
    "humaneval": Benchmark(pattern="humaneval/HumanEval.jsonl.gz", read=readers.read_humaneval),
    "tydiqa_en": Benchmark(
        pattern="tydiqa_goldp/english_tydiqa_dev.json", read=readers.read_tydiqa, hub=TYDIQA
    ),
    "tydiqa_ko": Benchmark(
        pattern="tydiqa_goldp/korean_tydiqa_dev.json", read=readers.read_tydiqa, hub=TYDIQA
    ),
    "truthfulqa": Benchmark(
        pattern="truthfulqa/TruthfulQA.csv",
        read=readers.read_truthfulqa,
        hub=HubDataset(
            path="truthfulqa/truthful_qa",
            splits={"validation": HubSplit("truthfulqa/TruthfulQA.csv", readers.truthfulqa_rows)},
        ),
    ),
    "self_instruct": Benchmark(
        pattern="self_instruct/user_oriented_instructions.jsonl", read=readers.read_self_instruct
    ),
    "bbq": Benchmark(
        pattern="bbq/*.jsonl",
        read=readers.read_bbq,
        hub=HubDataset(
            path="oskarvanderwal/bbq",
            splits={"test": HubSplit("bbq/*.jsonl", readers.jsonl_rows)},
        ),
    ),
    "crows_pairs": Benchmark(
        pattern="crows_pairs/crows_pairs_anonymized.csv",
        read=readers.read_crows_pairs,
        hub=HubDataset(
            path="jannalu/crows_pairs_multilingual",
            splits={
                "test": HubSplit("crows_pairs/crows_pairs_anonymized.csv", readers.crows_pairs_rows)
            },
        ),
    ),
    "xstest": Benchmark(
        pattern="xstest/xstest_prompts.csv",
        read=readers.read_xstest,
        hub=HubDataset(
            path="walledai/XSTest",
            splits={"test": HubSplit("xstest/xstest_prompts.csv", readers.xstest_rows)},
        ),
    ),
}
"""Benchmarks by the name that `suite.benchmarks` uses. `pattern` covers scored parts only: the
examples in prompts and the training parts may appear in training data."""

HUB_DATASETS = {
    benchmark.hub.path: benchmark.hub for benchmark in BENCHMARKS.values() if benchmark.hub
}
"""Hub data sets by id."""


def read_benchmarks(names: Sequence[str], data_dir: Path | None) -> Iterator[Item]:
    """Yield the scored items of several benchmarks, one benchmark after the other.

    Args:
        names: keys of `BENCHMARKS`.
        data_dir: folder that holds one folder per benchmark. None is enough for those that come
            with pacos.

    Raises:
        UserError: a name is unknown, or a benchmark's file is missing or in another format.
    """
    for name in names:
        if name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            raise UserError(f"benchmark {name}: no such benchmark; choose from: {known}")
        benchmark = BENCHMARKS[name]
        files = benchmark.files(data_dir)
        if not files:
            place = benchmark.pattern if data_dir is None else data_dir / benchmark.pattern
            raise UserError(
                f"benchmark {name}: no file {place}; put it there, set the folder of the "
                f"benchmarks' files, or leave {name} out"
            )
        for file in files:
            yield from _items(name, benchmark, file)


def _items(name: str, benchmark: Benchmark, file: Path) -> Iterator[Item]:
    try:
        yield from benchmark.read(name, file)
    except UNREADABLE as error:
        raise UserError(
            f"benchmark {name}: {file} is not in the format that its authors publish ({error!r}); "
            f"replace the file, or leave {name} out"
        ) from error
