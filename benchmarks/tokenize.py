"""Time from a JSON file to tokens in memory, with an empty cache and with a full one.

python -m benchmarks.tokenize ROWS [--rows N] [--model PATH] [--format NAME] [--out FILE]

ROWS is repeated up to N rows. The measured work is that of a rank: read, check, tokenise on all
cores, write the cache, map it. Right after, transformers' apply_chat_template with its mask of
assistant tokens is timed over SAMPLE rows, without reading, checking and writing, and extrapolated.
CPU seconds, those of child processes included, are reported beside wall seconds, because others may
share the machine. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.provenance import provenance
from pacos.data.sources import open_source
from pacos.distributed import World
from pacos.errors import UserError, exit_with
from pacos.files import write_json, write_jsonl
from pacos.model.loading import load_tokenizer
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.schemas import Row
from sft.config import SFTConfig
from sft.configs.data import OnError
from sft.data.mixture import load_data

SAMPLE = 4000
"""Rows that transformers is timed on."""

T = TypeVar("T")


def measure(rows: Path, count: int, config: SFTConfig, tokenizer: Any) -> dict[str, Any]:
    """Return the seconds of pacos and of transformers."""
    records = [record for _, record in open_source(str(rows)).records()]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PACOS_CACHE"] = folder
        config.data.path = str(Path(folder) / "rows.jsonl")
        write_jsonl(Path(config.data.path), itertools.islice(itertools.cycle(records), count))
        alone = World(rank=0, size=1, local_rank=0)
        data, first = timed(lambda: load_data(config, tokenizer, alone))
        _, again = timed(lambda: load_data(config, tokenizer, alone))
    conversations = [Row.from_json(row, "").messages() for row in records if row["output"]][:SAMPLE]
    template = FORMATS[config.model.prompt_format].template
    _, direct = timed(
        lambda: tokenizer.apply_chat_template(
            conversations,
            chat_template=template,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
    )
    return {
        "rows": len(data),
        "tokens": int(data.lengths.sum()),
        "pacos": first,
        "pacos_from_cache": again,
        "transformers": {key: round(value * count / SAMPLE, 2) for key, value in direct.items()},
    }


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return the result of the work, and its seconds."""
    clock, processor = time.perf_counter(), processor_seconds()
    done = work()
    return done, {
        "seconds": round(time.perf_counter() - clock, 2),
        "processor_seconds": round(processor_seconds() - processor, 2),
    }


def processor_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="ROWS")
    parser.add_argument("--rows", type=int, default=52_002)
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--format", default="alpaca", choices=list(PromptFormat.__members__))
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    config = SFTConfig()
    config.model.prompt_format = PromptFormat[options.format]
    config.data.on_error = OnError.quarantine
    facts = provenance()
    try:
        tokenizer = load_tokenizer(options.model)
        measured = measure(options.file, options.rows, config, tokenizer)
    except UserError as error:
        return exit_with(error)
    report = {
        **facts,
        "model": options.model,
        "format": options.format,
        **measured,
    }
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
