import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval import measures
from eval.config import EvalConfig
from eval.run import main
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths

pytestmark = pytest.mark.usefixtures("own_process")


def start(config: EvalConfig) -> RunPaths:
    return open_run(config)


def go_on(run: RunPaths) -> int:
    return main(["--config", str(run.config)])


@pytest.fixture
def both(config: EvalConfig, make_model: Callable[[int], Path]) -> EvalConfig:
    return replace(config, baseline=str(make_model(2)))


def test_a_run_of_two_models_ends_in_a_comparison(
    both: EvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(both)
    assert go_on(run) == EXIT_DONE
    assert Lives(run).state() is State.done
    for part in ("smoke/baseline", "smoke/target", "heldout/baseline", "heldout/target"):
        assert (run.eval / part).is_dir()

    comparison = read_json(run.eval / "comparison.json")
    names = [line["name"] for line in comparison["differences"]]
    assert names == [
        *("smoke_choice_en/acc", "smoke_choice_en/acc_norm"),
        *("smoke_generation_ko/exact_match", "heldout/nll"),
    ]
    scores = read_json(run.result)
    assert scores["objective"] == {
        "name": "heldout/nll",
        "value": scores["target"]["heldout/nll"],
        "higher_is_better": False,
    }
    for line in comparison["differences"]:
        assert line["before"] == pytest.approx(scores["baseline"][line["name"]])
        assert line["after"] == pytest.approx(scores["target"][line["name"]])

    (record,) = read_jsonl(run.metrics)
    assert record["target/heldout/nll"] == scores["target"]["heldout/nll"]
    manifest = read_json(run.manifest)
    assert {"heldout", "suite/smoke_choice_en", "data/smoke_choice_en.jsonl"} < set(
        manifest["inputs"]
    )
    assert {"target/model.safetensors", "baseline/model.safetensors"} < set(manifest["inputs"])

    printed = capsys.readouterr().out
    table = (run.eval / "comparison.txt").read_text()
    assert table in printed
    assert max(map(len, table.splitlines())) <= 100
    assert "Only 4 items per task" in " ".join(table.split())


def test_equal_models_are_not_told_apart(config: EvalConfig) -> None:
    run = start(replace(config, baseline=config.target))
    assert go_on(run) == EXIT_DONE
    lines = read_json(run.eval / "comparison.json")["differences"]
    assert {line["verdict"] for line in lines} == {"cannot tell"}
    assert {line["difference"] for line in lines} == {0.0}


def test_one_model_alone_is_scored(config: EvalConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run = start(replace(config, heldout=None))
    assert go_on(run) == EXIT_DONE
    assert not (run.eval / "comparison.json").exists()
    found = read_json(run.result)
    choice, generation = "smoke_choice_en/acc", "smoke_generation_ko/exact_match"
    mean = (found["target"][choice] + found["target"][generation]) / 2
    assert found["objective"]["value"] == pytest.approx(mean)
    assert choice in capsys.readouterr().out


def test_heldout_alone_needs_no_suite(config: EvalConfig) -> None:
    run = start(replace(config, suite=SuiteConfig(name="none", folder="shipped:smoke")))
    assert go_on(run) == EXIT_DONE
    assert set(read_json(run.result)["target"]) == {"heldout/nll"}


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_what_is_left(
    both: EvalConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(both)
    scored: list[Path] = []
    score = measures.score_suite

    def stop_after(lm: Any, folder: Path, **given: Any) -> None:
        score(lm, folder, **given)
        scored.append(folder)
        run.stop.touch()

    monkeypatch.setattr(measures, "score_suite", stop_after)
    assert go_on(run) == EXIT_SAVED
    assert Lives(run).state() is State.saved
    assert scored == [run.eval / "smoke" / "baseline"]
    assert not (run.eval / "heldout").exists()
    assert not run.result.exists()

    assert go_on(run) == EXIT_SAVED
    assert scored[1:] == [run.eval / "smoke" / "target"]
    assert "baseline: smoke was finished before and is not repeated" in capsys.readouterr().err
    assert (run.eval / "heldout" / "baseline").is_dir()

    assert go_on(run) == EXIT_DONE
    assert len(scored) == 2
    assert Lives(run).count() == 3
    assert len(list(read_jsonl(run.metrics))) == 1

    assert go_on(run) == EXIT_DONE
    assert len(list(read_jsonl(run.metrics))) == 1, "a run that was done tracks nothing twice"


def test_a_rank_ends_with_0_when_it_saved(
    config: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(config)
    monkeypatch.setattr(measures, "score_suite", lambda lm, folder, **given: run.stop.touch())
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    assert go_on(run) == EXIT_DONE
    assert Lives(run).state() is State.saved


def test_an_input_that_changed_is_refused(
    config: EvalConfig, heldout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(config)
    assert go_on(run) == EXIT_DONE
    heldout.write_text(heldout.read_text().replace("Blue.", "Red."))
    assert go_on(run) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "changed since the run began" in message
    assert f"heldout: {heldout}" in message


def test_a_missing_model_is_one_clear_message(
    config: EvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(replace(config, target="/nowhere/model"))
    assert go_on(run) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "target = /nowhere/model: no such model directory" in message
    assert "Traceback" not in message


def test_a_crash_is_recorded(config: EvalConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(lm: Any, folder: Path, **given: Any) -> None:
        raise RuntimeError("out of memory")

    run = start(config)
    monkeypatch.setattr(measures, "score_suite", crash)
    with pytest.raises(RuntimeError, match="out of memory"):
        go_on(run)
    assert Lives(run).state() is State.failed


@pytest.mark.slow
def test_the_program_is_quiet_and_takes_overrides(
    tiny: Path, heldout: Path, tmp_path: Path
) -> None:
    overrides = [
        *(f"target={tiny}", f"heldout={heldout}", "prompt_format=chatml", "limit=2"),
        *("suite.tasks=[smoke_choice_ko]", f"run.root={tmp_path}", "run.name=typed"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "eval.run", *overrides],
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_DONE, done.stderr
    loading, suite, certificate, rest = done.stderr.splitlines()
    assert [loading, suite, rest] == [
        f"target: loading {tiny}",
        "target: smoke",
        "target: heldout",
    ]
    assert certificate.startswith("1 item scored again by the harness's own code")
    status = json.loads((tmp_path / "typed" / "status.json").read_text())
    assert status["state"] == "done"
