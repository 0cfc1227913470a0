"""What is said about a run while it trains."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError
from pacos.files import read_json, read_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig
from sft.configs.health import HealthConfig
from sft.monitor.health import (
    LEAST_HISTORY,
    PROBES,
    WINDOW,
    Health,
    Patience,
    SpikeDetector,
    StragglerWatch,
)
from sft.steps.record import RankShare, Step, StepRecord
from tests.sft.small_runs import MARK, MARKED, SHAPE, small_config, train


def noisy_curve(steps: int) -> list[float]:
    draw = random.Random(0)
    return [(1 + 2 / (1 + step / 20)) * math.exp(draw.gauss(0, 0.05)) for step in range(steps)]


def spikes(values: list[float]) -> list[int]:
    detector = SpikeDetector(6.0, 0.02)
    return [at for at, value in enumerate(values) if detector.look(value) is not None]


def test_a_noisy_falling_curve_has_no_spikes() -> None:
    assert spikes(noisy_curve(1000)) == []


def test_a_planted_spike_is_found_with_what_is_usual() -> None:
    values = noisy_curve(300)
    detector = SpikeDetector(6.0, 0.02)
    for value in values:
        detector.look(value)
    usual = detector.look(2 * values[-1])
    assert usual == pytest.approx(values[-1], rel=0.1)


def test_spikes_do_not_hide_each_other() -> None:
    values = noisy_curve(300)
    for at in (200, 203, 206, 209, 212):
        values[at] *= 3
    assert spikes(values) == [200, 203, 206, 209, 212]


def test_a_new_level_becomes_usual() -> None:
    found = spikes([1.0] * 100 + [3.0] * 100)
    assert found == list(range(100, 100 + WINDOW // 2))


def test_the_first_steps_and_what_is_no_number_are_no_spikes() -> None:
    assert spikes([1.0] * (LEAST_HISTORY - 1) + [100.0]) == []
    assert spikes([*noisy_curve(100), math.nan, math.inf, 0.0]) == []


def test_a_straggler_is_named_once_and_again_after_it_was_well() -> None:
    watch = StragglerWatch(1.25)
    slow, well = [1.0, 1.0, 2.0, 1.1], [1.0, 1.0, 1.0, 1.1]
    assert [watch.look(slow) for _ in range(PROBES + 2)] == [None] * (PROBES - 1) + [2, None, None]
    assert [watch.look(well) for _ in range(PROBES)] == [None] * PROBES
    assert 2 in [watch.look(slow) for _ in range(PROBES)]


def test_one_slow_probe_names_nobody_and_one_rank_is_alone() -> None:
    watch = StragglerWatch(1.25)
    for number in range(20):
        assert watch.look([1.0, 9.0 if number == 10 else 1.0]) is None
    assert [StragglerWatch(1.25).look([1.0]) for _ in range(9)] == [None] * 9


def record(number: int, *nll: float, norm: float | None = 1.0, probe: float = 0.0) -> StepRecord:
    """A step of a pass a rank, one row of ten tokens in each."""
    step = Step(
        number=number,
        epoch=0.1,
        passes=[[[rank]] for rank in range(len(nll))],
        rows=len(nll),
        tokens=20 * len(nll),
        squared_lengths=400 * len(nll),
        supervised=10 * len(nll),
    )
    shares = [
        RankShare(
            nll=torch.tensor([value], dtype=torch.float64),
            data_seconds=0.1,
            peak_bytes=2.0**30,
            probe_seconds=probe,
            seconds=1.9,
            stop_requested=False,
            save_failed=False,
        )
        for value in nll
    ]
    updated = all(map(math.isfinite, nll))
    return StepRecord(step, 1e-3, norm, updated, seconds=2.0, ranks=shares)


@pytest.fixture
def health(tmp_path: Path) -> Health:
    return Health(
        HealthConfig(), tmp_path / "health.jsonl", "rows:{}".format, lambda row: 10, ["a", "b"]
    )


def test_a_spike_names_its_rows_the_worst_first(health: Health, tmp_path: Path) -> None:
    for number in range(1, 31):
        health.look(record(number, 10.0, 10.0))
    health.look(record(31, 10.0, 30.0))
    (event,) = read_jsonl(tmp_path / "health.jsonl")
    assert (event["step"], event["event"], event["metric"]) == (31, "spike", metrics.LOSS)
    assert event["value"] == pytest.approx(2.0)
    assert event["usual"] == pytest.approx(1.0)
    assert event["passes"] == [
        {"rank": 1, "loss": 3.0, "rows": ["rows:1"]},
        {"rank": 0, "loss": 1.0, "rows": ["rows:0"]},
    ]


def test_a_later_life_knows_what_is_usual(health: Health, tmp_path: Path) -> None:
    health.recall([{"step": 0, metrics.VALIDATION_LOSS: 9.0}])
    health.recall({metrics.LOSS: 1.0, metrics.GRAD_NORM: 1.0} for _ in range(LEAST_HISTORY))
    health.look(record(21, 10.0, 10.0, norm=30.0))
    (event,) = read_jsonl(tmp_path / "health.jsonl")
    assert (event["metric"], event["value"]) == (metrics.GRAD_NORM, 30.0)


def test_a_norm_that_is_not_known_is_not_watched(health: Health) -> None:
    step = record(1, 10.0, 10.0, norm=None)
    health.look(step)
    assert step.is_finite
    assert metrics.GRAD_NORM not in step.metrics(SHAPE, None)


def test_ranks_that_share_rows_add_up() -> None:
    step = record(1, 10.0, 20.0, 30.0, 40.0)
    shared = Step(1, 0.1, [[[0]], [[1]]], 2, 40, 800, 20)
    together = StepRecord(shared, 1e-3, 1.0, True, 2.0, step.ranks)
    assert list(together.passes()) == [(0, [0], 30.0), (2, [1], 70.0)]
    assert together.loss == 5.0


def test_utilisation_is_of_the_peak_and_absent_without_one() -> None:
    step = record(1, 10.0, 20.0)
    flops = SHAPE.training_flops(40, 800)
    line = step.metrics(SHAPE, peak_flops=flops)
    assert line[metrics.MFU] == pytest.approx(1 / 2 / 2), "2 seconds, 2 ranks"
    assert line[metrics.TFLOPS] == pytest.approx(flops / 4 / 1e12)
    assert line[metrics.TOKENS_PER_SECOND] == 20.0
    assert line[metrics.SUPERVISED_TOKENS_PER_SECOND] == 10.0
    assert line[metrics.PEAK_MEMORY] == 1.0
    assert line[metrics.DATA_WAIT] == 0.05
    assert metrics.MFU not in step.metrics(SHAPE, None)


def test_patience_ends_after_as_many_steps_in_a_row_as_are_allowed() -> None:
    waits: list[int] = []
    patience = Patience(HealthConfig(nonfinite_steps=2), lambda: waits.append(1))
    bad, good = record(1, math.nan, 1.0), record(2, 1.0, 1.0)
    for step in (bad, bad, good, bad, bad):
        patience.check(step)
    assert not waits
    with pytest.raises(UserError, match=r"nonfinite_steps = 2: train/loss nan"):
        patience.check(bad)
    assert waits


def test_patience_ends_at_once_where_weights_were_changed() -> None:
    patience = Patience(HealthConfig(nonfinite_steps=99), lambda: None)
    with pytest.raises(UserError, match="train/grad_norm inf"):
        patience.check(record(1, 1.0, norm=math.inf))


@pytest.mark.parametrize(
    "bad", [{"spike_sigmas": 0.0}, {"straggler_ratio": 1.0}, {"nonfinite_steps": -1}]
)
def test_values_without_sense_are_refused(bad: dict[str, Any]) -> None:
    (problem,) = HealthConfig(**bad).problems()
    assert problem.key == f"health.{next(iter(bad))}"
    assert not HealthConfig().problems()


@contextlib.contextmanager
def no_number_in_the_marked_row() -> Iterator[None]:
    """The loss of the pass with the marked row is NaN, as where a product overflows."""
    from sft import trainer as loop

    plain, mark = loop.nll_sum, _mark()

    def planted(engine: Any, batch: Any) -> Any:
        nll = plain(engine, batch)
        return nll * math.nan if bool((batch.input_ids == mark).any()) else nll

    loop.nll_sum = planted
    try:
        yield
    finally:
        loop.nll_sum = plain


def _mark() -> int:
    from tests.sft.byte_tokenizer import byte_tokenizer

    (mark,) = byte_tokenizer().encode(MARK)
    return int(mark)


@contextlib.contextmanager
def a_slow_second_rank() -> Iterator[None]:
    from pacos.distributed import World
    from sft import trainer as loop
    from sft.monitor.probe import Probe

    plain, every = Probe.seconds, loop.EVERY_STEPS
    factor = 1.0 + World.from_env().rank
    Probe.seconds = lambda probe: factor
    loop.EVERY_STEPS = 1
    try:
        yield
    finally:
        Probe.seconds, loop.EVERY_STEPS = plain, every


WAYS = [(0, Precision.bf16), (1, Precision.fp32), (2, Precision.bf16), (3, Precision.bf16)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[RunPaths, int]]:
    """Runs of two epochs with the planted row, each a way to train; and one with a straggler."""
    folder = tmp_path_factory.mktemp("health")
    allowed = HealthConfig(nonfinite_steps=1)
    configs = [
        small_config(
            folder,
            f"{stage}-{precision.name}",
            deepspeed=DeepSpeedConfig(stage=stage),
            precision=precision,
            health=allowed,
            epochs=2,
        )
        for stage, precision in WAYS
    ]
    fp32 = {"precision": Precision.fp32}
    configs += [
        small_config(folder, "impatient", **fp32),
        small_config(folder, "unchecked", deepspeed=DeepSpeedConfig(stage=0), **fp32),
        small_config(folder, "straggler", epochs=2, **fp32),
    ]
    planted = [no_number_in_the_marked_row] * (len(configs) - 1)
    done = train(2, configs, [*planted, a_slow_second_rank])
    return {run.path.name: (run, code) for run, code in done}


@pytest.mark.parametrize(("stage", "precision"), WAYS)
def test_a_step_that_is_no_number_changes_no_weight_and_is_listed(
    runs: dict[str, tuple[RunPaths, int]], stage: int, precision: Precision
) -> None:
    run, code = runs[f"{stage}-{precision.name}"]
    assert code == EXIT_DONE
    records = list(read_jsonl(run.metrics))
    bad = [line for line in records if not math.isfinite(line[metrics.LOSS])]
    assert len(bad) == 2, "once an epoch"
    assert all(math.isinf(line[metrics.GRAD_NORM]) for line in bad)
    assert math.isfinite(records[-1][metrics.LOSS]) or bad[-1] is records[-1]
    events = list(read_jsonl(run.path / "health.jsonl"))
    assert [event["step"] for event in events] == [line[metrics.STEP] for line in bad]
    for event in events:
        worst, *others = event["passes"]
        assert worst["loss"] is None
        assert any(row.endswith(f"rows.jsonl:{MARKED}") for row in worst["rows"])
        assert all(other["loss"] > 0 for other in others)


def test_without_patience_the_first_such_step_ends_the_run(
    runs: dict[str, tuple[RunPaths, int]],
) -> None:
    for name in ("impatient", "unchecked"):
        run, code = runs[name]
        assert code == EXIT_USER_ERROR
        *before, last = read_jsonl(run.metrics)
        assert math.isnan(last[metrics.LOSS])
        assert all(math.isfinite(line[metrics.LOSS]) for line in before)
        (event,) = read_jsonl(run.path / "health.jsonl")
        assert event["event"] == "not finite"
        assert not run.model.exists()


def test_a_straggler_is_named_with_its_machine(runs: dict[str, tuple[RunPaths, int]]) -> None:
    run, code = runs["straggler"]
    assert code == EXIT_DONE
    (event,) = read_jsonl(run.path / "health.jsonl")
    assert (event["event"], event["rank"]) == ("straggler", 1)
    assert event["probe_seconds"] == [1.0, 2.0]
    assert event["host"]


def test_every_step_is_measured(runs: dict[str, tuple[RunPaths, int]]) -> None:
    run, _ = runs["straggler"]
    for line in read_jsonl(run.metrics):
        assert 0 < line[metrics.SUPERVISED_TOKENS_PER_SECOND] < line[metrics.TOKENS_PER_SECOND]
        assert 0 <= line[metrics.DATA_WAIT] < 1
        assert 0 < line[metrics.GOODPUT] < 1
        assert line[metrics.PEAK_MEMORY] > 0
        assert line[metrics.GRAD_NORM] > 0
        assert metrics.MFU not in line, "no peak is known of a CPU"
    *_, end = read_jsonl(run.attempts)
    assert {"steps", "checkpoints", "export", "other"} <= set(end["seconds"])
    assert read_json(run.result)["steps"] == 8


def test_the_rows_of_a_step_have_one_checksum_however_they_are_divided() -> None:
    def step(*passes: list[list[int]]) -> Step:
        return Step(1, 0.1, passes, 3, 40, 800, 20)

    whole = step([[1, 2, 3]])
    assert whole.row_ids == step([[3], []], [[2], [1]]).row_ids
    assert whole.row_ids != step([[1, 2, 4]]).row_ids
