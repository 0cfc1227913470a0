"""`pacos eval` against the harness's own command line on MMLU, both as a user would type them.

python -m benchmarks.eval_cli DATA WORK [--limit N] [--whole SUBJECT…] [--out FILE]

DATA is a folder of benchmark files as docs/suites.md describes it; WORK holds everything that both
sides write. All 57 subjects are measured with N items each, then some subjects completely: five
examples, fp32, one process on this CPU. The harness runs its own tasks, unchanged. It is started
beside a folder `cais/mmlu` with the rows in the hub's columns, which `datasets` takes for the data
set of that name. Prints one JSON object: wall and CPU seconds, tokens, their ratios, and all
differences between the sample files.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.provenance import provenance
from eval.engine.certificate import Certificate
from eval.engine.encoding import RequestEncoder
from eval.engine.plan import plan_passes
from eval.harness.results import SuiteResult, read_suite
from pacos.files import read_json, write_json, write_jsonl
from pacos.model.loading import model_directory

MODEL = "embedded:smollm2-135m-instruct"
WHOLE = ("abstract_algebra", "management", "medical_genetics", "computer_security")
SHOTS = 5
BATCH_TOKENS = 4096
HARNESS_BATCH = 8


def write_hub_rows(data: Path, folder: Path) -> None:
    """Write the data set `cais/mmlu` below `folder`, from its authors' files."""
    configs = []
    for file in sorted((data / "mmlu" / "test").glob("*_test.csv")):
        subject = file.stem.removesuffix("_test")
        for split in ("test", "dev"):
            with (data / "mmlu" / split / f"{subject}_{split}.csv").open(newline="") as lines:
                rows = [
                    {
                        "question": row["question"],
                        "subject": subject,
                        "choices": [row[f"choice{number}"] for number in range(4)],
                        "answer": int(row["answer"]),
                    }
                    for row in csv.DictReader(lines)
                ]
            path = folder / "cais" / "mmlu" / subject / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_jsonl(path, rows)
        files = [{"split": split, "path": f"{subject}/{split}.jsonl"} for split in ("test", "dev")]
        configs.append({"config_name": subject, "data_files": files})
    # `datasets` reads a data set's configs from the YAML header of its card; JSON is valid YAML.
    card = f"---\n{json.dumps({'configs': configs})}\n---\n"
    (folder / "cais" / "mmlu" / "README.md").write_text(card, encoding="utf-8")


def timed(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Run a command in `folder`, and return its wall and CPU seconds."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (folder / f"{len(list(folder.glob('*.log')))}.log").open("w") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(cpu, 2),
    }


def run_pacos(name: str, tasks: Sequence[str], limit: int | None, options: Any) -> Any:
    command = [sys.executable, "-m", "launch.cli", "eval", f"target={MODEL}", "tracking=none"]
    command += [f"run.root={options.work}", f"run.name={name}", f"suite.data_dir={options.data}"]
    command += ["suite=mmlu", f"suite.name={name}", f"suite.tasks=[{','.join(tasks)}]"]
    command += [
        f"batch_tokens={BATCH_TOKENS}",
        "cluster.device=cpu",
        *([] if limit is None else [f"limit={limit}"]),
    ]
    seconds = timed(command, options.work)
    folder = options.work / name / "eval" / name / "target"
    certificate = read_json(folder / "certificate.json")
    own = {key: certificate[key] for key in ("items", "max_difference", "flips")}
    return {**seconds, "certificate": own}, read_suite(folder)


def run_harness(name: str, tasks: Sequence[str], limit: int | None, options: Any) -> Any:
    out = options.work / f"{name}-harness"
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={model_directory(MODEL)},dtype=float32"]
    command += ["--tasks", ",".join(tasks), "--num_fewshot", str(SHOTS), "--log_samples"]
    command += ["--batch_size", str(HARNESS_BATCH), "--output_path", str(out / "results.json")]
    command += [] if limit is None else ["--limit", str(limit)]
    seconds = timed(command, options.work)
    return seconds, read_suite(out)


def tokens_of(result: SuiteResult) -> dict[str, int]:
    """Return the tokens that each side computes: by pacos's plan, and by HFLM's grouping."""
    model = model_directory(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(model)
    requests = [
        (one["arg_0"], one["arg_1"])
        for samples in result.samples.values()
        for sample in samples
        for one in sample["arguments"].values()
    ]
    pairs = RequestEncoder(tokenizer, tokenizer.eos_token_id).pairs(requests)
    longest = read_json(Path(model) / "config.json")["max_position_embeddings"]
    units = plan_passes(pairs, longest, BATCH_TOKENS)
    # HFLM runs choices that differ in their last token only once.
    distinct = {(*context, *choice[:-1]) for _, context, choice in pairs}
    planned = sum(len(one) for unit in units for one in unit)
    return {"pacos": planned, "harness": sum(map(len, distinct))}


def scores_of(sample: dict[str, Any]) -> list[tuple[float, bool]]:
    return [(float(score), str(greedy) == "True") for score, greedy in sample["filtered_resps"]]


def agreement(mine: SuiteResult, harness: SuiteResult) -> dict[str, Any]:
    """Return the differences between two sample files of the same items."""
    certificate = Certificate()
    different = {"prompts": 0, "documents": 0, "verdicts": 0}
    if mine.samples.keys() != harness.samples.keys():
        raise ValueError("the two sides measured different tasks")
    for task, samples in mine.samples.items():
        for one, two in zip(samples, harness.samples[task], strict=True):
            different["prompts"] += one["prompt_hash"] != two["prompt_hash"]
            different["documents"] += one["doc_hash"] != two["doc_hash"]
            different["verdicts"] += one["acc"] != two["acc"]
            certificate.compare_scores(scores_of(one), scores_of(two))
    names = harness.results["results"]
    scores = {
        name: (mine.results["results"][name]["acc,none"], names[name]["acc,none"]) for name in names
    }
    return {
        "tasks": len(mine.samples),
        "items": certificate.items,
        "max_difference_nats": certificate.max_difference,
        "flips": certificate.flips,
        "other_prompts": different["prompts"],
        "other_documents": different["documents"],
        "other_verdicts": different["verdicts"],
        "other_scores": [name for name, (one, two) in scores.items() if one != two],
        "scores": {name: round(one, 4) for name, (one, _) in scores.items()},
    }


def compared(name: str, tasks: Sequence[str], limit: int | None, options: Any) -> dict[str, Any]:
    mine, my_result = run_pacos(name, tasks, limit, options)
    harness, its_result = run_harness(name, tasks, limit, options)
    tokens = tokens_of(its_result)
    mine["tokens"], harness["tokens"] = tokens["pacos"], tokens["harness"]
    keys = ("wall_seconds", "cpu_seconds", "tokens")
    ratios = {key: round(harness[key] / mine[key], 2) for key in keys}
    report = {"limit": limit, "pacos": mine, "harness": harness, "harness_over_pacos": ratios}
    return {**report, "same": agreement(my_result, its_result)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=lambda path: Path(path).absolute())
    parser.add_argument("work", type=lambda path: Path(path).absolute())
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--whole", nargs="*", default=list(WHOLE))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    result = {**provenance(), "model": MODEL, "precision": "fp32", "shots": SHOTS}
    result |= {"batch_tokens": BATCH_TOKENS, "harness_batch_size": HARNESS_BATCH}
    options.work.mkdir(parents=True, exist_ok=True)
    write_hub_rows(options.data, options.work)
    whole = [f"mmlu_{subject}" for subject in options.whole]
    parts = {"all": (["mmlu"], options.limit), "whole": (whole, None)}
    for name, (tasks, limit) in parts.items():
        if tasks:
            result[name] = compared(name, tasks, limit, options)
            if options.out is not None:
                write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
