"""The page that a run ends with, from small made-up run directories."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from launch.config import SCHEMAS, PipelineConfig
from launch.report.charts import bin_edge, length_bin, running_mean
from launch.report.page import duration, write_report
from launch.report.stages import read_stages
from pacos import metrics
from pacos.compose import compose_checked
from pacos.errors import UserError
from pacos.files import append_jsonl, write_json, write_jsonl
from pacos.run_dir import RunDir, State, open_run
from pacos.schemas import Row
from selfinstruct.config import SCHEMAS as SCHEMAS_OF_DATA
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.measures import measure
from selfinstruct.dataset.requirements import requirements

HOSTILE = "<script>alert('&')</script><img src=https://example.com/x onerror=alert(1)>"
STEPS = 70
VOID = {"meta", "br", "wbr", "img", "link"}


class Page(HTMLParser):
    """Tags, attributes and visible text of a report; complains of tags that are not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data
            self.words += data.split()

    @property
    def sections(self) -> list[str]:
        return [str(attributes["id"]) for tag, attributes in self.tags if tag == "section"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline run with little in it, made once."""
    root = tmp_path_factory.mktemp("runs")
    overrides = [f"run.root={root}", "run.name=small", "selfinstruct.seeds.heldout=1"]
    config = compose_checked(PipelineConfig, SCHEMAS, overrides)
    run = open_run(config)
    fills = (fill_data, fill_training, fill_results)
    for stage, fill in zip(config.stages(run.path), fills, strict=True):
        part = open_run(stage)
        part.begin_life()
        fill(part)
        part.end_life(State.done, "all done", 0)
    return run.path


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> RunDir:
    """A copy of the finished run, to be changed by one test."""
    return RunDir(shutil.copytree(finished, tmp_path / finished.name))


def fill_data(run: RunDir) -> None:
    run.add_inputs({}, lineage={"seeds": "CC0-1.0", "teacher": "Apache-2.0"})
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


def fill_training(run: RunDir) -> None:
    run.add_inputs({}, lineage={"weights": "Llama 2", "data": ["Apache-2.0", "CC0-1.0"]})
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


def fill_results(run: RunDir) -> None:
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
    lines = [("words/exact_match", True, 0.1, [-0.1, 0.3], "cannot tell")]
    lines += [("heldout/nll", False, -0.5, [-0.6, -0.4], "better")]
    differences = [
        {
            "name": name,
            "items": 9,
            "higher_is_better": higher,
            "before": 2.0,
            "after": 2.0 + difference,
            "difference": difference,
            "interval": interval,
            "p": 0.0001,
            "verdict": verdict,
        }
        for name, higher, difference, interval, verdict in lines
    ]
    facts = {"before": "base", "after": "tuned", "suite": "smoke", "limit": None}
    numbers = {"confidence": 0.95, "resamples": 10_000, "seed": 42}
    comparison = {**facts, **numbers, "differences": differences}
    write_json(run.eval / "comparison.json", comparison)
    write_json(run.result, {"target": {"heldout/nll": 1.5}})


def test_whole_pipeline(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path))
    sections = ["results", "answers", "training", "data", "config", "provenance", "files"]
    assert page.sections == sections
    assert "partial" not in page.text
    for shown in (
        "2.000 → 1.500",
        "words/exact_match",
        "−0.600 … −0.400",
        "Held-out NLL is the mean",
        "20 generated rows and 1 human-written seeds",
        "Of 40 candidates in 8 requests for tasks, 50.0 % were accepted",
        "0.88 with: Name a river.",
        "teacher took 900 tokens of prompts and 450 of replies for $4.50, 22.5 ¢ a generated row",
        "1 replies of the judge took 100 tokens of prompts and 50 of replies; their price is not",
        "smoke 7, whole: <script>",
        "1 of 1 generated answers",
        "I was before",
        "안녕",
        "Llama 2",
        "Apache-2.0, CC0-1.0",
        "7,000",
        "selfinstruct/data/data.jsonl",
    ):
        assert shown in page.text, shown


def test_is_the_same_each_time(pipeline: RunDir) -> None:
    first = write_report(pipeline.path).read_bytes()
    assert write_report(pipeline.path).read_bytes() == first


def test_generated_text_is_text(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path))
    assert page.text.count(HOSTILE) > 10
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "link", "iframe", "object"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_needs_nothing_from_elsewhere(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path))
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert page.source.count("url(") == page.source.count("url(#")
    assert "@import" not in page.source


def test_references_inside_the_page_are_unique(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path))
    sections = page.sections
    assert len(set(sections)) == len(sections)
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    linked = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {str(link)[1:] for link in linked} <= targets


def test_partial_pipeline(pipeline: RunDir) -> None:
    for part in ("sft", "eval"):
        folder = pipeline.path / part
        folder.rename(pipeline.path / f".{part}")
    page = Page(write_report(pipeline.path))
    assert page.sections == ["data", "config", "provenance", "files"]
    assert "This report is partial: sft is not begun; eval is not begun." in page.text


def cells(page: Page, *start: str) -> str:
    """What follows in the page from where these words first stand after each other."""
    words = page.words
    for at in range(len(words)):
        if words[at : at + len(start)] == [*start]:
            return " ".join(words[at + len(start) : at + len(start) + 40])
    raise AssertionError(start)


def test_what_data_must_be(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert cells(page, "enough").startswith("rows 21 ≥ 10,000 no what is in them")
    assert cells(page, "quality", "above", "all").startswith(
        "mean score of a judge, 1 to 10 – ≥ 7 not"
    )
    assert "appropriate" in page.text


def test_figures_of_the_data(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert cells(page, "too", "similar").startswith("15 37.5 % empty output 3 7.5 %")
    assert cells(page, "unsafe").startswith("2 5.0 % fraud 1 2.5 % <script>")
    assert cells(page, "with", "an", "input").startswith("20 95.2 % not asked if so 20 95.2 %")
    assert cells(page, "by", "rules:").startswith("1 may do harm. In 20 of all rows something")
    assert "g7 unsafe: <b>fraud</b>" in page.text
    assert cells(page, "Variety,", "en").startswith(
        "21 different instructions Two instructions have"
    )
    assert cells(page, "describe").startswith("20 harbour 20 name 1 river 1")
    assert "Similarity, en" in page.text


def test_rows_can_be_opened_one_by_one(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    folded = [dict(attributes) for tag, attributes in page.tags if tag == "details"]
    assert [one.get("class") for one in folded].count("row") == 21 + 3
    assert not any("open" in one for one in folded)


def test_data_in_the_making(pipeline: RunDir) -> None:
    for path in (pipeline.path / "selfinstruct" / "data").glob("*.json*"):
        if path.name != "ledger.jsonl":
            path.unlink()
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert "20 generated rows so far" in page.text
    assert "Of 40 candidates in 8 requests for tasks" in page.text
    assert "for $4.50" in page.text
    assert "What demonstration data must be" not in page.text


def test_nothing_begun(pipeline: RunDir) -> None:
    for part in ("selfinstruct", "sft", "eval"):
        shutil.rmtree(pipeline.path / part)
    assert Page(write_report(pipeline.path)).sections == ["config", "provenance", "files"]


def test_killed_training(pipeline: RunDir) -> None:
    run = RunDir(pipeline.path / "sft")
    with run.metrics.open("a") as file:
        file.write('{"step": 71, "train/lo')
    run.attempts.unlink()
    write_json(run.status, {"life": 1, "state": "running", "start": 0.0})
    page = Page(write_report(pipeline.path))
    assert "sft is running or killed" in page.text
    assert "70 steps over 140 rows" in page.text


def test_figures_of_the_training(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    assert "2.500 at first, 1.800 at last, 1.750 at its lowest" in page.text
    for title in ("Validation loss", "Utilisation", "Throughput", "Gradient norm"):
        assert title in page.text
    assert cells(page, "model", "FLOPs", "utilisation").startswith("42.5%")
    assert cells(page, "waiting", "for", "data").startswith("0.13%")
    assert cells(page, "most", "memory").startswith("of a rank 12.2 GiB")
    assert cells(page, "spent", "in", "steps").startswith("88%")


def test_unusual_steps_name_their_rows(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    assert cells(page, "40", "spike").startswith("train/loss 9, 1.5 is usual rows.jsonl:1, rows")
    assert "rows.jsonl:8 and 3 more" in " ".join(page.words)
    assert cells(page, "41", "straggler").startswith("rank 3 on node7 computes slower")
    assert cells(page, "42", "not", "finite").startswith("train/loss not finite rows.jsonl:1,")


def test_held_out_rows_show_the_first_and_the_last_answer(pipeline: RunDir) -> None:
    page = Page(write_report(pipeline.path / "sft"))
    shown = cells(page, "rows.jsonl:9", "Do", "you?", "reference")
    assert shown.startswith("I do. step 0, cut <script>")
    assert f"step {STEPS} Yes." in " ".join(page.words)
    assert "Half." not in page.text


def test_training_from_before_these_records(pipeline: RunDir) -> None:
    run = RunDir(pipeline.path / "sft")
    for name in ("samples.jsonl", "health.jsonl"):
        (run.path / name).unlink()
    new = {metrics.VALIDATION_LOSS, metrics.MFU, metrics.PEAK_MEMORY, metrics.GOODPUT}
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()[1:]]
    write_jsonl(run.metrics, [{k: v for k, v in one.items() if k not in new} for one in records])
    page = Page(write_report(run.path))
    assert "70 steps over 140 rows" in page.text
    for absent in ("Unusual steps", "Answers to held-out", "held-out rows:", "Utilisation"):
        assert absent not in page.text


def test_later_lives(pipeline: RunDir) -> None:
    run = RunDir(pipeline.path / "sft")
    run.attempts.unlink()
    for life, first, last in ((1, 1, 30), (2, 31, 70)):
        times = {"start": 100.0 * life, "end": 100.0 * life + 50}
        said = {"reason": "said so", "first_step": first, "last_step": last}
        append_jsonl(run.attempts, [{"life": life, **times, **said}])
    config = run.config.read_text()
    (run.path / "config.2.yaml").write_text(config.replace("stage: 2", "stage: 1"))
    page = Page(write_report(pipeline.path))
    assert "took up the run at step 31" in page.text
    assert "1 min 40 s at work, 2 lives" in page.text
    assert "Life 2: deepspeed.stage from 2 to 1" in page.text


def test_diverged_training(pipeline: RunDir) -> None:
    run = RunDir(pipeline.path / "sft")
    nan = step_record(STEPS + 1) | {metrics.LOSS: float("nan"), metrics.GRAD_NORM: float("inf")}
    append_jsonl(run.metrics, [nan])
    assert "71 steps" in Page(write_report(pipeline.path)).text


@pytest.mark.parametrize(
    ("stage", "sections"),
    [
        ("selfinstruct", ["data", "config", "provenance", "files"]),
        ("sft", ["training", "config", "provenance", "files"]),
        ("eval", ["results", "answers", "config", "provenance", "files"]),
    ],
)
def test_run_of_one_stage(pipeline: RunDir, stage: str, sections: list[str]) -> None:
    path = pipeline.path / stage
    assert write_report(path) == path / "report.html"
    assert Page(path / "report.html").sections == sections


def test_evaluation_of_one_model(pipeline: RunDir) -> None:
    (pipeline.path / "eval" / "eval" / "comparison.json").unlink()
    page = Page(write_report(pipeline.path / "eval"))
    assert "One model was judged" in page.text


def test_broken_surrogate_can_be_written(pipeline: RunDir) -> None:
    data = pipeline.path / "selfinstruct" / "data" / "data.jsonl"
    row = {"id": "s", "instruction": "half \ud83d", "output": "x", "source": "generated"}
    data.write_text(json.dumps(row) + "\n")
    assert "half ?" in Page(write_report(pipeline.path)).text


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run"):
        read_stages(tmp_path)


def test_bins_of_lengths() -> None:
    assert [bin_edge(index) for index in range(9)] == [0, 1, 2, 3, 4, 6, 8, 12, 16]
    for length in range(500):
        index = length_bin(length)
        assert bin_edge(index) <= length < bin_edge(index + 1)


def test_running_mean() -> None:
    assert running_mean([1, 2, 6, 2, 1], 3) == [1.5, 3, pytest.approx(10 / 3), 3, 1.5]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (4.25, "4.2 s"),
        (59.99, "1 min 0 s"),
        (754, "12 min 34 s"),
        (3599.9, "1 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
