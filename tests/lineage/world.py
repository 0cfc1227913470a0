"""Runs that follow from one another: generated rows, two trainings with a spike, an evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pacos.configs.model import Init
from pacos.errors import EXIT_DONE
from pacos.files import sha256, write_json, write_jsonl
from pacos.llm.request import Request, Sampling
from pacos.run_paths import DataPaths, RunPaths
from tests.sft.small_runs import MARK, MARKED, ROWS, small_config, train

EPOCHS = 7
"""Of 5 steps each: a spike is seen once 20 steps have passed."""
STEPS_BEFORE_SPIKE = 25


def request(number: int) -> Request:
    prompt = ({"role": "user", "content": f"Write task {number}, please."},)
    return Request(endpoint="e", model="m", prompt=prompt, sampling=Sampling(max_tokens=9))


def row(number: int) -> dict[str, Any]:
    mark = MARK if number == MARKED else ""
    key = request(number).key
    return {
        "id": f"{key[:12]}_0_0",
        "instruction": f"Count to {number % 9}{mark}{'.!?;:'[(number - 1) // 9]}",
        "input": f"slowly, {number}" if number % 2 else "",
        "output": " ".join(map(str, range(number % 9 + 1))),
        "source": "generated",
        "lineage": {
            "lang": "en",
            "seeds": ["seed_task_3"],
            "parents": [f"{request(number - 1).key[:12]}_0"],
            "requests": [key],
            "teacher": "scripted",
            "terms": "apache-2.0",
        },
    }


def generate(run: RunPaths) -> None:
    """What a run of selfinstruct leaves, as far as lineage reads it."""
    files = DataPaths(run.data)
    rows = [row(number) for number in range(1, ROWS + 1)]
    write_jsonl(files.rows, rows)
    write_jsonl(
        files.ledger,
        [
            {
                "key": (one := request(number)).key,
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "usd": None,
                "sent": one.sent(),
                "reply": {"text": f"reply {number}", "finish": "stop"},
            }
            for number in range(1, ROWS + 1)
        ],
    )
    run.config.write_text(
        yaml.safe_dump(
            {
                "generator": {"name": "scripted", "terms": "apache-2.0"},
                "suite": {"benchmarks": ["smoke"]},
            }
        )
    )
    write_json(files.measures, {"harmful": {}, "checked": 40, "declined": {"drugs": 2}})
    seeds = run.path / "seeds.jsonl"
    seeds.write_text("{}\n")
    write_json(
        run.manifest,
        {
            "stage": "selfinstruct",
            "identity": "5eed" * 16,
            "folder": str(run.path.parent),
            "inputs": {"seeds_en": {"path": str(seeds), "sha256": sha256(seeds)}},
            "outputs": {"data.jsonl": sha256(files.rows)},
        },
    )


@contextlib.contextmanager
def a_spike_in_the_marked_row() -> Iterator[None]:
    """From some step on, the loss of the pass with the marked row is many times what it was."""
    from sft import trainer as loop
    from tests.sft.byte_tokenizer import byte_tokenizer

    plain, plain_step = loop.nll_sum, loop.Trainer.train_step
    (mark,) = byte_tokenizer().encode(MARK)
    number = 0

    def step(trainer: Any, step: Any) -> Any:
        nonlocal number
        number = step.number
        return plain_step(trainer, step)

    def planted(engine: Any, batch: Any) -> Any:
        is_marked = number > STEPS_BEFORE_SPIKE and bool((batch.input_ids == mark).any())
        return plain(engine, batch) * (50 if is_marked else 1)

    loop.nll_sum, loop.Trainer.train_step = planted, step
    try:
        yield
    finally:
        loop.nll_sum, loop.Trainer.train_step = plain, plain_step


SCORES = {"smoke/acc": 0.25, "xstest_safe/acc": 0.9, "smoke/perplexity": 12.5}


def evaluate(run: RunPaths, model: Path) -> None:
    """What a finished run of eval leaves, as far as lineage and cards read it."""
    run.path.mkdir(parents=True)
    run.config.write_text(
        yaml.safe_dump(
            {
                "target": str(model),
                "baseline": "owner/base",
                "suite": {"name": "smoke", "num_fewshot": {"smoke": 5}},
                "limit": None,
            }
        )
    )
    origin = model / "origin.json"
    write_json(
        run.manifest,
        {
            "stage": "eval",
            "identity": "e7a1" * 16,
            "created": 1.0,
            "folder": str(run.path.parent),
            "inputs": {"target/origin.json": {"path": str(origin), "sha256": sha256(origin)}},
        },
    )
    write_json(run.result, {"objective": {}, "target": SCORES, "baseline": {"smoke/acc": 0.5}})
    write_json(run.eval / "standard_errors.json", {"target": {"smoke/acc": 0.05}})
    leak = {"row": "data.jsonl:7", "sign": "13-gram", "score": 1.0, "words": "count"}
    write_json(
        run.eval / "contamination.json",
        {"flagged": 1, "items": 2, "rows": 40, "leaks": {"smoke": {"1": [leak]}}},
    )
    items = [
        {
            "doc_id": number,
            "doc": {"question": f"Please count slowly to {number * 7}", "choices": ["yes", "no"]},
            "target": "yes",
            "arguments": {"gen_args_0": {"arg_0": f"Q{number}", "arg_1": " yes"}},
            "filtered_resps": [[-1.0, False]],
            "filter": "none",
            "metrics": ["acc"],
            "acc": 1.0 - number,
        }
        for number in (0, 1)
    ]
    write_jsonl(run.eval / "smoke" / "target" / "samples_smoke_2026-01-02T00-00-00.jsonl", items)


def build(folder: Path) -> Path:
    """Make all runs; return the folder that holds them."""
    runs = folder / "runs"
    generate(RunPaths(runs / "rows"))
    first = small_config(folder, "first", epochs=EPOCHS)
    first.data.path = str(runs / "rows")
    first.checkpoint.every_steps = 8
    ((run, code),) = train(1, [first], [a_spike_in_the_marked_row])
    assert code == EXIT_DONE
    second = small_config(folder, "second")
    second.data.path = str(folder / "rows.jsonl")
    second.model = dataclasses.replace(
        second.model, path=str(run.model), init=Init.pretrained, license="apache-2.0"
    )
    ((_, code),) = train(1, [second])
    assert code == EXIT_DONE
    evaluate(RunPaths(runs / "scored"), run.model)
    return runs


def spike_step(run: Path) -> int:
    """The step of the first spike of the loss."""
    events = (json.loads(line) for line in (run / "health.jsonl").read_text().splitlines())
    return next(
        int(event["step"])
        for event in events
        if event["event"] == "spike" and event["metric"] == "train/loss"
    )
