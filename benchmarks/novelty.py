"""Filling a pool through pacos's novelty filter, against the original implementations.

python -m benchmarks.novelty ROWS --pool 52000 1000000 [--floor 0.6] [--out FILE]
                                                        needs: pip install rouge-score

One pool is filled up to the largest size, with a mark at each size. Candidates are the instructions
of ROWS (Alpaca's, say) with words replaced (a share drawn from 0 to 1, by words as frequent as in
the corpus) and up to four words moved. A candidate whose ROUGE-L with an entry is above 0.7 is
rejected. Its time is that of the comparison and, if it is accepted, of the addition; building its
text does not count. CPU times are reported, because others may share the machine, and the fill's
wall time besides.

The originals compare a candidate with every entry by rouge_score (Self-Instruct on texts, Alpaca on
cached tokens). After the fill, both are timed serially in the same process, for some candidates and
a sample of the pool, and their fill is extrapolated as time per pair × pairs. Prints a table and
one JSON line.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import resource
import statistics
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from pacos.errors import UserError, exit_with
from pacos.files import read_json, write_json
from selfinstruct.pool.novelty import FLOOR, NoveltyIndex

LIMIT = 0.7
"""ROUGE-L above which a candidate is rejected, as in Self-Instruct and Alpaca."""
CANDIDATES = 25
"""Candidates for timing the originals."""
ENTRIES = 2000
"""Entries of the pool that each of those is compared with."""
RECENT = 10_000
"""Candidates before a mark whose median is the cost of one at that size."""


@dataclass(frozen=True)
class Mark:
    """The cost of filling the pool up to one size; microseconds are per candidate."""

    pool: int
    candidates: int
    acceptance: float
    pairs: int
    """Pairs of candidate and entry that the originals would compare."""
    cpu_seconds: float
    wall_seconds: float
    median_us: float
    recent_median_us: float
    recent_p99_us: float
    peak_rss_mib: int
    load: float


def candidates(instructions: Sequence[str], seed: int) -> Iterator[str]:
    """Yield instructions with words replaced and moved, endlessly."""
    draw = random.Random(seed)
    corpus = [word for text in instructions for word in text.split()]
    while True:
        words = draw.choice(instructions).split()
        share = draw.random()
        words = [draw.choice(corpus) if draw.random() < share else word for word in words]
        for _ in range(draw.randint(0, 4)):
            words.insert(draw.randrange(len(words)), words.pop(draw.randrange(len(words))))
        yield " ".join(words)


def fill(
    instructions: Sequence[str], sizes: Sequence[int], floor: float, sampled: list[str]
) -> Iterator[Mark]:
    """Grow one pool to the last size, yield a mark at each, and sample the first mark's entries."""
    index = NoveltyIndex(floor)
    times = array("d")
    pairs, wall = 0, 0.0
    stride = max(1, sizes[0] // ENTRIES)
    stream = candidates(instructions, seed=0)
    for size in sizes:
        while len(index) < size:
            text = next(stream)
            pairs += len(index)
            began, wall_began = time.process_time(), time.perf_counter()
            nearest = index.nearest(text)
            is_new = nearest is None or nearest.score <= LIMIT
            if is_new:
                index.add(str(len(times)), text)
            times.append(time.process_time() - began)
            wall += time.perf_counter() - wall_began
            if is_new and len(index) % stride == 0 and len(sampled) < ENTRIES:
                sampled.append(text)
        recent = sorted(times[-RECENT:])
        yield Mark(
            pool=size,
            candidates=len(times),
            acceptance=round(size / len(times), 4),
            pairs=pairs,
            cpu_seconds=round(sum(times), 1),
            wall_seconds=round(wall, 1),
            median_us=round(statistics.median(times) * 1e6, 1),
            recent_median_us=round(statistics.median(recent) * 1e6, 1),
            recent_p99_us=round(recent[len(recent) * 99 // 100] * 1e6, 1),
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            load=round(os.getloadavg()[0], 2),
        )


def originals(texts: Sequence[str], entries: Sequence[str]) -> dict[str, float]:
    """Return the microseconds per pair of both originals, as the median over the texts."""
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    cut = scorer._tokenizer.tokenize
    tokens = [cut(entry) for entry in entries]

    def self_instruct(text: str) -> None:
        for entry in entries:
            scorer.score(text, entry)

    def alpaca(text: str) -> None:
        text_tokens = cut(text)
        for entry in tokens:
            rouge_scorer._score_lcs(text_tokens, entry)

    def median_us(compare: Callable[[str], None]) -> float:
        times = []
        for text in texts:
            began = time.process_time()
            compare(text)
            times.append((time.process_time() - began) / len(entries) * 1e6)
        return statistics.median(times)

    return {"self_instruct": median_us(self_instruct), "alpaca": median_us(alpaca)}


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS", help="JSON list of rows")
    parser.add_argument("--pool", type=int, nargs="+", default=[52_000], help="entries")
    parser.add_argument(
        "--floor", type=float, default=FLOOR, help="see selfinstruct/pool/novelty.py"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    try:
        facts = provenance("rapidfuzz", "rouge-score")
    except importlib.metadata.PackageNotFoundError as error:
        return exit_with(UserError(f"{error.name} is not installed; run: pip install {error.name}"))
    if not options.file.is_file():
        return exit_with(
            UserError(f"ROWS = {options.file}: no such file; give a JSON list of rows")
        )
    instructions = [row["instruction"] for row in read_json(options.file)]
    marks: list[dict[str, Any]] = []
    sampled: list[str] = []
    for mark in fill(instructions, sorted(options.pool), options.floor, sampled):
        marks.append(asdict(mark))
        print(mark, file=sys.stderr, flush=True)
    # Another seed than the fill: candidates that are not in the pool already.
    stream = candidates(instructions, seed=1)
    theirs = originals([next(stream) for _ in range(CANDIDATES)], sampled)
    for record in marks:
        for name, pair_us in theirs.items():
            extrapolated = pair_us * 1e-6 * record["pairs"]
            record[f"{name}_cpu_seconds_extrapolated"] = round(extrapolated)
            record[f"{name}_ratio"] = round(extrapolated / record["cpu_seconds"])
    result = {
        "benchmark": "novelty",
        **facts,
        "floor": options.floor,
        "limit": LIMIT,
        "marks": marks,
        "original_pair_us": {name: round(value, 1) for name, value in theirs.items()},
    }
    for key in marks[0]:
        print(f"{key:>40}" + "".join(f"{record[key]:>18,}" for record in marks))
    print(json.dumps(result))
    if options.out:
        write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
