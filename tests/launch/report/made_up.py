"""Small synthetic run directories."""

from __future__ import annotations

from dataclasses import asdict

from pacos.configs.compose import compose_checked
from pacos.files import append_jsonl, write_json, write_jsonl
from pacos.run.manifest import add_inputs
from pacos.run_paths import RunPaths
from pacos.schemas import Row
from pacos.tracking import metrics
from selfinstruct.config import SCHEMAS as SCHEMAS_OF_DATA
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.measures import measure
from selfinstruct.dataset.requirements import requirements

HOSTILE = "<script>alert('&')</script><img src=https://example.com/x onerror=alert(1)>"
STEPS = 70


def fill_data(run: RunPaths) -> None:
    add_inputs(run, {}, lineage={"seeds": "CC0-1.0", "teacher": "Apache-2.0"})
    facts = {"lang": "en", "terms": "CC0-1.0", "is_classification": False}
    rows = [Row("seed_1", "Name a river.", "", "The Han.", "seed", facts)]
    for number in range(20):
        lineage = {**facts, "teacher": HOSTILE, "is_classification": None, "declined": "drugs"}
        texts = (f"Describe harbours, {number} 안녕", HOSTILE, "word " * 300)
        rows.append(Row(f"g{number}", *texts, "generated", lineage))
    reasons = ["too similar"] * 15 + ["empty output"] * 3 + ["unsafe: fraud", f"unsafe: {HOSTILE}"]
    config = compose_checked(SelfInstructConfig, SCHEMAS_OF_DATA, [])
    measures = measure(rows, 1, 8, reasons, config)
    measures.harmful["g7"] = "unsafe: <b>fraud</b>"
    write_json(run.data / "measures.json", asdict(measures))
    table = [one.to_json() for one in requirements(measures)]
    write_json(run.data / "requirements.json", table)
    write_jsonl(run.data / "data.jsonl", (row.to_json() for row in rows))
    write_jsonl(run.data / "heldout.jsonl", [Row("seed_2", "Hold me.", "", "Out.").to_json()])
    candidate = {"instruction": HOSTILE, "input": "", "output": "", "request": "k"}
    near = {"id": "seed_1", "score": 0.875}
    leak = {"benchmark": "smoke", "item": "7", "kind": "whole", "score": 1.0, "words": HOSTILE}
    write_jsonl(
        run.data / "rejected.jsonl",
        [
            *[{"reason": "too similar", **candidate, "nearest": near, "overlap": None}] * 15,
            *[{"reason": "gives away: smoke", **candidate, "nearest": None, "overlap": leak}] * 3,
            *[{"reason": "unsafe: fraud", **candidate, "nearest": None, "overlap": None}] * 2,
        ],
    )
    head = {"key": "0" * 64, "prompt_tokens": 100, "completion_tokens": 50}
    append_jsonl(run.data / "ledger.jsonl", [{**head, "usd": 0.5, "reply": {}}] * 9)
    append_jsonl(run.data / "judge" / "ledger.jsonl", [{**head, "usd": None, "reply": {}}])
    for step in (1, 2):
        counts = {metrics.ACCEPTED: 10 * step, metrics.REJECTED: 10 * step}
        append_jsonl(run.metrics, [{"step": step, **counts, metrics.REQUESTS: 4 * step}])


def fill_training(run: RunPaths) -> None:
    add_inputs(run, {}, lineage={"weights": "Llama 2", "data": ["Apache-2.0", "CC0-1.0"]})
    held_out = {0: 2.5, 35: 1.75, STEPS: 1.8}
    append_jsonl(run.metrics, [{metrics.STEP: 0, metrics.VALIDATION_LOSS: held_out[0]}])
    for step in range(1, STEPS + 1):
        loss = {metrics.VALIDATION_LOSS: held_out[step]} if step in held_out else {}
        append_jsonl(run.metrics, [step_record(step) | loss])
    for step, answer, stopped in ((0, HOSTILE, False), (35, "Half.", True), (STEPS, "Yes.", True)):
        asked = {"row": "rows.jsonl:9", "prompt": "Do you?", "reference": "I do."}
        line = {metrics.STEP: step, **asked, "answer": answer, "stopped": stopped}
        append_jsonl(run.path / "samples.jsonl", [line])
    passes = [{"rank": 1, "loss": None, "rows": [f"rows.jsonl:{row}" for row in range(1, 12)]}]
    spike = {"metric": metrics.LOSS, "value": 9.0, "usual": 1.5}
    slow = {"rank": 3, "host": "node7", "probe_seconds": [1, 1, 1, 2]}
    append_jsonl(
        run.path / "health.jsonl",
        [
            {metrics.STEP: 40, "event": "spike", **spike, "passes": passes},
            {metrics.STEP: 41, "event": "straggler", **slow},
            {metrics.STEP: 42, "event": "not finite", metrics.LOSS: None, "passes": passes},
        ],
    )


def step_record(step: int) -> dict[str, float]:
    return {
        metrics.STEP: step,
        metrics.EPOCH: step / 35,
        metrics.LOSS: 2 - step / STEPS,
        metrics.GRAD_NORM: 1.0,
        metrics.LEARNING_RATE: 2e-5,
        metrics.ROWS: 2,
        metrics.TOKENS: 100,
        metrics.SUPERVISED_TOKENS: 60,
        metrics.STEP_SECONDS: 0.5,
        metrics.TOKENS_PER_SECOND: 200.0,
        metrics.SUPERVISED_TOKENS_PER_SECOND: 120.0,
        metrics.TFLOPS: 0.1,
        metrics.MFU: 0.425,
        metrics.PEAK_MEMORY: 12.25,
        metrics.DATA_WAIT: 0.0013,
        metrics.GOODPUT: 0.875,
    }


def fill_results(run: RunPaths) -> None:
    for label, text in (("baseline", "I was before"), ("target", HOSTILE)):
        folder = run.eval / "smoke" / label
        generated = {
            "doc_id": 0,
            "target": "yes",
            "arguments": {"gen_args_0": {"arg_0": "Is it?", "arg_1": {"until": []}}},
            "resps": [[text]],
            "filter": "answer",
            "metrics": ["exact_match"],
            "exact_match": 1.0,
        }
        chosen = {"doc_id": 0, "resps": [[["-3.5", "False"]]], "filter": "none"}
        # The harness writes a line for each filter of a task.
        both_filters = [generated, {**generated, "filter": "other"}]
        write_jsonl(folder / "samples_words_2026-01-01T00-00-00.1.jsonl", both_filters)
        write_jsonl(folder / "samples_choice_2026-01-01T00-00-00.1.jsonl", [chosen])
    lines = [
        ("words/exact_match", True, 0.1, [0.01, 0.3], 0.0421, 0.2526, "cannot tell"),
        ("heldout/nll", False, -0.5, [-0.6, -0.4], 0.0001, None, "better"),
    ]
    differences = [
        {
            "name": name,
            "items": 9,
            "higher_is_better": higher,
            "before": 2.0,
            "after": 2.0 + difference,
            "difference": difference,
            "interval": interval,
            "p": p,
            "corrected_p": corrected,
            "verdict": verdict,
        }
        for name, higher, difference, interval, p, corrected, verdict in lines
    ]
    facts = {"before": "base", "after": "tuned", "suite": "smoke", "limit": None}
    numbers = {"confidence": 0.95, "resamples": 10_000, "seed": 42}
    comparison = {**facts, **numbers, "differences": differences}
    write_json(run.eval / "comparison.json", comparison)
    write_json(run.result, {"target": {"heldout/nll": 1.5}})
