"""From the name of a benchmark to its items."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pacos.benchmarks import readers
from pacos.benchmarks.items import Item
from pacos.errors import UserError

SMOKE = Path(__file__).parents[2] / "eval" / "suites" / "smoke"
"""The suite that comes with pacos, beside this package in a checkout and when installed."""

UNREADABLE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, csv.Error)
"""What parsing a file of another form raises; a damaged archive raises OSError or EOFError."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where a benchmark's items are, and what reads them."""

    pattern: str
    """Its files below the folder of the data."""
    read: Callable[[str, Path], Iterator[Item]]
    """From the name of the benchmark and one of its files to the items in it."""
    folder: Path | None = None
    """Where the files are if they come with pacos."""

    def files(self, data_dir: Path | None) -> list[Path]:
        """The files that are there, in order of name."""
        folder = self.folder or data_dir
        return [] if folder is None else sorted(folder.glob(self.pattern))


BENCHMARKS = {
    "smoke": Benchmark("*.jsonl", readers.read_smoke, SMOKE),
    "mmlu": Benchmark("mmlu/test/*_test.csv", readers.read_mmlu),
    "hellaswag": Benchmark("hellaswag/hellaswag_val_full.txt.bz2", readers.read_hellaswag),
    "gsm8k": Benchmark("gsm8k/test.jsonl", readers.read_gsm8k),
    "humaneval": Benchmark("humaneval/HumanEval.jsonl.gz", readers.read_humaneval),
    "tydiqa_en": Benchmark("tydiqa_goldp/english_tydiqa_dev.json", readers.read_tydiqa),
    "tydiqa_ko": Benchmark("tydiqa_goldp/korean_tydiqa_dev.json", readers.read_tydiqa),
    "truthfulqa": Benchmark("truthfulqa/TruthfulQA.csv", readers.read_truthfulqa),
    "self_instruct": Benchmark(
        "self_instruct/user_oriented_instructions.jsonl", readers.read_self_instruct
    ),
    "bbq": Benchmark("bbq/*.jsonl", readers.read_bbq),
    "crows_pairs": Benchmark("crows_pairs/crows_pairs_anonymized.csv", readers.read_crows_pairs),
    "xstest": Benchmark("xstest/xstest_prompts.csv", readers.read_xstest),
}
"""Names as configs spell them. Only what is scored is read: tests and development sets, not the
examples shown in prompts nor training parts."""


def read_benchmarks(names: Sequence[str], data_dir: Path | None) -> Iterator[Item]:
    """The items of benchmarks, one benchmark after the other.

    Args:
        names: keys of `BENCHMARKS`.
        data_dir: folder that holds one folder a benchmark; None suffices for what comes with pacos.

    Raises:
        UserError: a name is not known, or a benchmark's file is absent or of another form.
    """
    for name in names:
        if name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            raise UserError(f"benchmark {name}: no such benchmark; choose among: {known}")
        benchmark = BENCHMARKS[name]
        files = benchmark.files(data_dir)
        if not files:
            where = benchmark.pattern if data_dir is None else data_dir / benchmark.pattern
            raise UserError(
                f"benchmark {name}: no file {where}; put it there, set the folder of the "
                f"benchmarks' files, or leave {name} out"
            )
        for file in files:
            yield from _items(name, benchmark, file)


def _items(name: str, benchmark: Benchmark, file: Path) -> Iterator[Item]:
    try:
        yield from benchmark.read(name, file)
    except UNREADABLE as error:
        raise UserError(
            f"benchmark {name}: {file} is not in the form that its authors publish ({error!r}); "
            f"replace the file, or leave {name} out"
        ) from error
