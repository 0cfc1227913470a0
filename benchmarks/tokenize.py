"""Time from rows on disk to tokens on disk: pacos, and `datasets.map` beside it.

python -m benchmarks.tokenize ROWS [--rows N] [--repeats N] [--sides SIDE…] [--model PATH]
    [--format NAME] [--out FILE]

ROWS is repeated up to N rows, each made different by a suffix. Both sides start from the same JSONL
file with empty caches, and use one process per core:

- pacos reads, checks and tokenizes the rows, hashes them, writes its cache and maps it; then it
  starts again from the cache.
- datasets reads the file with `load_dataset`, then maps `apply_chat_template` over batches of 1,000
  rows, with the mask of assistant tokens and the template of the same format.

The sides alternate, each in a process of its own, as often as --repeats says. Prints one JSON
object with all seconds, elapsed and on processors, the medians and their ratio, and the peak memory
of the main process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from pacos.data.sources import open_source
from pacos.errors import UserError, exit_with
from pacos.files import write_json, write_jsonl
from pacos.model.loading import load_tokenizer
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.schemas import Row
from sft.config import SFTConfig


def rows_of(path: Path, count: int) -> Iterator[dict[str, str]]:
    """Yield rows with an answer, no two the same."""
    records = [record for _, record in open_source(str(path)).records() if record["output"]]
    for number, record in enumerate(itertools.islice(itertools.cycle(records), count)):
        yield {**record, "instruction": f"{record['instruction']} ({number})"}


def processor_seconds() -> float:
    """Return the time on processors of this process and of its workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_mebibytes() -> float:
    """Return the most memory that this process has held."""
    # getrusage's number goes back to before this program, to the one that forked.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) / 1024


def pacos_side(rows: Path, cache: str, model: str, prompt_format: str) -> dict[str, float]:
    """Return the seconds of pacos, and those of a second start."""
    from pacos.distributed import World
    from sft.data.mixture import load_data

    config = SFTConfig()
    config.data.path = str(rows)
    config.model.prompt_format = PromptFormat[prompt_format]
    tokenizer = load_tokenizer(model)
    os.environ["PACOS_CACHE"] = cache
    alone = World(rank=0, size=1, local_rank=0)
    used, start = processor_seconds(), time.perf_counter()
    data = load_data(config, tokenizer, alone)
    first, used = time.perf_counter(), processor_seconds() - used
    load_data(config, tokenizer, alone)
    again = time.perf_counter()
    return {
        "seconds": first - start,
        "processor_seconds": used,
        "seconds_from_cache": again - first,
        "tokens": int(data.lengths.sum()),
        "supervised": int(data.num_supervised.sum()),
        "peak_mib": peak_mebibytes(),
    }


def datasets_side(rows: Path, cache: str, model: str, prompt_format: str) -> dict[str, float]:
    """Return the seconds of `datasets.map`."""
    import datasets

    datasets.disable_progress_bars()
    tokenizer = load_tokenizer(model)
    template = FORMATS[PromptFormat[prompt_format]].template
    used, start = processor_seconds(), time.perf_counter()
    data = datasets.load_dataset("json", data_files=str(rows), split="train", cache_dir=cache)
    mapped = data.map(
        encode_batch,
        batched=True,
        batch_size=1000,
        num_proc=len(os.sched_getaffinity(0)),
        remove_columns=data.column_names,
        fn_kwargs={"tokenizer": tokenizer, "template": template},
    )
    seconds, used = time.perf_counter() - start, processor_seconds() - used
    columns = mapped.with_format("arrow")[:]
    tokens = sum(len(ids) for ids in columns["input_ids"])
    supervised = sum(sum(mask.as_py()) for mask in columns["assistant_masks"])
    return {
        "seconds": seconds,
        "processor_seconds": used,
        "tokens": tokens,
        "supervised": supervised,
        "peak_mib": peak_mebibytes(),
    }


def encode_batch(batch: dict[str, list[str]], tokenizer: Any, template: str) -> dict[str, Any]:
    """Return ids and masks of a batch."""
    columns = zip(batch["instruction"], batch["input"], batch["output"], strict=True)
    conversations = [
        Row(id="", instruction=asked, input=more, output=answer).messages()
        for asked, more, answer in columns
    ]
    encoded = tokenizer.apply_chat_template(
        conversations,
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return {name: encoded[name] for name in ("input_ids", "assistant_masks")}


SIDES = {"pacos": pacos_side, "datasets": datasets_side}


def in_process(side: str, rows: Path, model: str, prompt_format: str) -> dict[str, float]:
    """Run one side in a new process with an empty cache."""
    with tempfile.TemporaryDirectory(dir=rows.parent) as cache:
        context = multiprocessing.get_context("spawn")
        # Not a Pool, whose workers may not have children.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(SIDES[side], rows, cache, model, prompt_format).result()


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", nargs="+", default=[*SIDES], choices=[*SIDES])
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--format", default="chatml", choices=list(PromptFormat.__members__))
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    facts = provenance()
    results: dict[str, list[dict[str, float]]] = {side: [] for side in options.sides}
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.jsonl"
            write_jsonl(rows, rows_of(options.file, options.rows))
            for _ in range(options.repeats):
                for side in options.sides:
                    result = in_process(side, rows, options.model, options.format)
                    results[side].append({key: round(value, 2) for key, value in result.items()})
                    print(f"{side}: {results[side][-1]}", file=sys.stderr, flush=True)
    except UserError as error:
        return exit_with(error)
    medians = {
        side: statistics.median(run["seconds"] for run in runs) for side, runs in results.items()
    }
    report = {
        **facts,
        "model": options.model,
        "format": options.format,
        "rows": options.rows,
        "runs": results,
        "median_seconds": medians,
    }
    if len(medians) == len(SIDES):
        report["ratio"] = round(medians["pacos"] / medians["datasets"], 3)
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
