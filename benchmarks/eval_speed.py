"""Multiple-choice scoring: pacos against the harness's HFLM, one model, one process, fp32.

python -m benchmarks.eval_speed DATA [--subjects S…] [--items N] [--hellaswag N] [--out FILE]

DATA is a folder of benchmark files as docs/suites.md describes it. Both sides get the same requests
from the harness's own tasks: MMLU with five examples and N items per subject, and HellaSwag with
ten examples. Time is measured from prompts as text to scores. Prints one JSON object: wall and CPU
seconds, tokens through the model, their ratios, and the differences between the scores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.provenance import provenance
from eval.config import EvalConfig
from eval.engine.certificate import Certificate
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm
from eval.harness.suites import build_suite, leaves
from eval.lm_eval_api import HFLM, Instance
from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.suite import SuiteConfig
from pacos.files import write_json

MODEL = "embedded:smollm2-135m-instruct"
SUBJECTS = ("anatomy", "us_foreign_policy")
HARNESS_BATCH = 8
SEED = 1234

Score = tuple[float, bool]


def requests_of(name: str, shots: int, items: int, data: Path) -> list[Instance]:
    suite = SuiteConfig(name="speed", tasks=[name], num_fewshot={name: shots}, data_dir=str(data))
    (task,) = leaves(build_suite(suite).tasks)
    # The same few-shot examples for both sides.
    task.set_fewshot_seed(SEED)
    task.build_all_requests(limit=items, rank=0, world_size=1)
    return list(task.instances)


class TokenCounter:
    """Counts the tokens that pass through a model."""

    def __init__(self, model: Any) -> None:
        self.count = 0
        model.base_model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named["input_ids"] if "input_ids" in named else arguments[0]
        self.count += ids.numel()


def timed(
    score: Callable[..., list[Score]], requests: Sequence[Instance], tokens: TokenCounter
) -> tuple[dict[str, float], list[Score]]:
    before = tokens.count
    wall, cpu = time.perf_counter(), time.process_time()
    scores = score(requests, disable_tqdm=True)
    measured = {
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "tokens": tokens.count - before,
    }
    return measured, scores


def compared(
    lm: SharedPrefixLM, harness: HFLM, parts: Sequence[Sequence[Instance]], tokens: TokenCounter
) -> dict[str, Any]:
    """Measure both sides on each part in turn, so that other load on the machine hits both."""
    sums: dict[str, dict[str, float]] = {"pacos": {}, "harness": {}}
    certificate = Certificate()
    for requests in parts:
        scores: dict[str, list[Score]] = {}
        for side, score in (("pacos", lm.loglikelihood), ("harness", harness.loglikelihood)):
            measured, scores[side] = timed(score, requests, tokens)
            for key, value in measured.items():
                sums[side][key] = sums[side].get(key, 0) + value
        docs: dict[Any, list[int]] = {}
        for number, request in enumerate(requests):
            docs.setdefault(request.doc_id, []).append(number)
        for numbers in docs.values():
            fast, plain = ([scores[side][n] for n in numbers] for side in ("pacos", "harness"))
            certificate.compare_scores(fast, plain)
    ratios = {key: round(sums["harness"][key] / value, 2) for key, value in sums["pacos"].items()}
    return {**sums, "harness_over_pacos": ratios, "same": certificate.to_json()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--hellaswag", type=int, default=16)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    config = EvalConfig(target=MODEL, cluster=ClusterConfig(device=Device.cpu))
    lm = build_lm(MODEL, config)
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=HARNESS_BATCH)
    tokens = TokenCounter(lm.model)
    mmlu = [
        requests_of(f"mmlu_{name}", 5, options.items, options.data) for name in options.subjects
    ]
    hellaswag = requests_of("hellaswag", 10, options.hellaswag, options.data)
    # Parts of four items (16 requests): long enough to fill a pass, short enough to alternate.
    parts = [hellaswag[at : at + 16] for at in range(0, len(hellaswag), 16)]
    timed(harness.loglikelihood, mmlu[0][:4], tokens)  # warm-up: threads and memory
    result = {
        **provenance(),
        "model": MODEL,
        "precision": "fp32",
        "threads": torch.get_num_threads(),
        "batch_tokens": config.batch_tokens,
        "harness_batch_size": HARNESS_BATCH,
        "mmlu_5_shot": compared(lm, harness, mmlu, tokens),
        "hellaswag_10_shot": compared(lm, harness, parts, tokens),
    }
    print(json.dumps(result, indent=2))
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
