"""The report's section on the training."""

from __future__ import annotations

import json

from launch.report.page import write_report
from pacos.files import append_jsonl, write_json, write_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.launch.report.made_up import STEPS, step_record
from tests.launch.report.reading import Page, cells


def test_killed_training(pipeline: RunPaths) -> None:
    run = RunPaths(pipeline.path / "sft")
    with run.metrics.open("a") as file:
        file.write('{"step": 71, "train/lo')
    run.attempts.unlink()
    write_json(run.status, {"life": 1, "state": "running", "start": 0.0})
    page = Page(write_report(pipeline.path))
    assert "sft is running or killed" in page.text
    assert "70 steps over 140 rows" in page.text


def test_figures_of_the_training(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    assert "first 2.500, last 1.800, lowest 1.750" in page.text
    for title in ("Validation loss", "Utilisation", "Throughput", "Gradient norm"):
        assert title in page.text
    assert cells(page, "model", "FLOPs", "utilisation").startswith("42.5%")
    assert cells(page, "waiting", "for", "data").startswith("0.13%")
    assert cells(page, "peak", "memory").startswith("of a rank, over all steps 12.2 GiB")
    assert cells(page, "spent", "in", "steps").startswith("88%")


def test_unusual_steps_name_their_rows(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    assert cells(page, "40", "spike").startswith("train/loss 9, usually 1.5 rows.jsonl:1, rows")
    assert "rows.jsonl:8 and 3 more" in " ".join(page.words)
    assert cells(page, "41", "straggler").startswith("rank 3 on node7 computes slower")
    assert cells(page, "42", "not", "finite").startswith("train/loss not finite rows.jsonl:1,")


def test_held_out_rows_show_the_first_and_the_last_answer(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    shown = cells(page, "rows.jsonl:9", "Do", "you?", "reference")
    assert shown.startswith("I do. step 0, cut off <script>")
    assert f"step {STEPS} Yes." in " ".join(page.words)
    assert "Half." not in page.text


def test_training_from_before_these_records(pipeline: RunPaths) -> None:
    run = RunPaths(pipeline.path / "sft")
    for name in ("samples.jsonl", "health.jsonl"):
        (run.path / name).unlink()
    new = {metrics.VALIDATION_LOSS, metrics.MFU, metrics.PEAK_MEMORY, metrics.GOODPUT}
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()[1:]]
    write_jsonl(run.metrics, [{k: v for k, v in one.items() if k not in new} for one in records])
    page = Page(write_report(run.path))
    assert "70 steps over 140 rows" in page.text
    for absent in ("Unusual steps", "Answers to held-out", "held-out rows:", "Utilisation"):
        assert absent not in page.text


def test_later_lives(pipeline: RunPaths) -> None:
    run = RunPaths(pipeline.path / "sft")
    run.attempts.unlink()
    for life, first, last in ((1, 1, 30), (2, 31, 70)):
        times = {"start": 100.0 * life, "end": 100.0 * life + 50}
        said = {"reason": "said so", "first_step": first, "last_step": last}
        append_jsonl(run.attempts, [{"life": life, **times, **said}])
    config = run.config.read_text()
    (run.path / "config.2.yaml").write_text(config.replace("stage: 2", "stage: 1"))
    page = Page(write_report(pipeline.path))
    assert "resumed the run at step 31" in page.text
    assert "1 min 40 s of work, 2 lives" in page.text
    assert "Life 2: deepspeed.stage changed from 2 to 1" in page.text


def test_diverged_training(pipeline: RunPaths) -> None:
    run = RunPaths(pipeline.path / "sft")
    nan = step_record(STEPS + 1) | {metrics.LOSS: float("nan"), metrics.GRAD_NORM: float("inf")}
    append_jsonl(run.metrics, [nan])
    assert "71 steps" in Page(write_report(pipeline.path)).text
