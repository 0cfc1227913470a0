from pathlib import Path

import pytest

from pacos.configs.tracking import TrackingConfig, TrackingMode, TrackingService
from pacos.files import read_jsonl, write_json
from pacos.run_paths import RunPaths
from pacos.tracking.open import NullTracker, open_tracker


def test_only_the_main_rank_tracks(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    tracker = open_tracker(TrackingConfig(), run, {}, is_main=False)
    assert isinstance(tracker, NullTracker)
    tracker.log({"step": 1})
    assert not run.metrics.exists()


def test_without_a_key_wandb_goes_offline_with_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = TrackingConfig(service=TrackingService.wandb, mode=TrackingMode.online)
    run = RunPaths(tmp_path)
    write_json(run.manifest, {"wandb_id": "abc"})
    tracker = open_tracker(config, run, {"seed": 1}, is_main=True)
    tracker.log({"step": 1, "train/loss": 2.5})
    tracker.close(0)
    assert "WANDB_API_KEY" in caplog.text
    assert list(read_jsonl(run.metrics)) == [{"step": 1, "train/loss": 2.5}]
    assert list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))


def test_a_wandb_that_fails_does_not_stop_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunPaths(tmp_path)  # without a manifest, so without an id at W&B
    config = TrackingConfig(service=TrackingService.wandb)
    tracker = open_tracker(config, run, {}, is_main=True)
    for step in (1, 2):
        tracker.log({"step": step})
    tracker.close(0)
    assert [record["step"] for record in read_jsonl(run.metrics)] == [1, 2]
    assert "W&B is off" in caplog.text
