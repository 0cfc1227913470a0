import multiprocessing
from pathlib import Path

import pytest

from pacos.configs.frozen import load_frozen
from pacos.configs.shared import TrackingConfig, identity, identity_fields, run_name
from pacos.errors import EXIT_CRASH, EXIT_DONE, UserError
from pacos.files import read_json, read_jsonl
from pacos.run.directory import RunDir, State, open_run
from pacos.seeds import derived_seed
from sft.config import SFTConfig


def a_config(root: Path, name: str | None = "run") -> SFTConfig:
    config = SFTConfig()
    config.run.name, config.run.root = name, str(root)
    config.model.name, config.model.path, config.model.license = "m", "owner/m", "MIT"
    config.data.path = "rows.jsonl"
    return config


def test_the_same_command_continues_the_run(tmp_path: Path) -> None:
    first = open_run(a_config(tmp_path))
    again = open_run(a_config(tmp_path))
    assert first.path == again.path
    assert [file.name for file in first.path.glob("config*")] == ["config.yaml"]


def test_another_identity_is_refused_with_the_keys(tmp_path: Path) -> None:
    open_run(a_config(tmp_path))
    other = a_config(tmp_path)
    other.optimizer.lr = 1e-3
    other.seed = 7
    with pytest.raises(UserError, match=r"optimizer\.lr: 2e-05 there, 0\.001 now") as error:
        open_run(other)
    assert "seed: 42 there, 7 now" in str(error.value)


def test_what_is_free_may_change_between_lives(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    changed = a_config(tmp_path)
    changed.cluster.ranks_per_node = 4
    changed.deepspeed.stage = 3
    changed.tracking = TrackingConfig(project="other")
    assert identity(changed) == identity(a_config(tmp_path))
    open_run(changed)
    assert load_frozen(run.config_of_next_life(), SFTConfig).cluster.ranks_per_node == 4
    open_run(a_config(tmp_path))
    assert run.config_of_next_life() == run.config


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds no run"):
        open_run(a_config(tmp_path))
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_the_default_name_follows_the_identity(tmp_path: Path) -> None:
    config, other = a_config(tmp_path, None), a_config(tmp_path, None)
    other.seed = 7
    assert run_name(config) == run_name(a_config(tmp_path / "elsewhere", None))
    assert run_name(config) != run_name(other)
    assert run_name(config).startswith("sft-m-")


def test_identity_has_no_place_and_nothing_free() -> None:
    keys = identity_fields(a_config(Path("a")))
    assert "optimizer.lr" in keys
    assert not [key for key in keys if key.startswith(("run", "cluster", "tracking", "deepspeed"))]


def test_lives_and_states(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    assert run.state() is State.created
    assert run.begin_life() == 1
    assert run.state() is State.running
    assert run.end_of_life(1) is None
    run.note(last_step=5)
    run.end_life(State.done, "all steps done", EXIT_DONE)
    assert run.end_of_life(1) == (EXIT_DONE, "all steps done")
    assert run.end_of_life(2) is None, "a stale status is never read as success"
    (life,) = read_jsonl(run.attempts)
    assert (life["life"], life["state"], life["last_step"]) == (1, "done", 5)
    assert life["start"] <= life["end"]
    run.end_life(State.failed, "a second word", EXIT_CRASH)
    assert list(read_jsonl(run.attempts)) == [life], "one line a life"
    assert run.state() is State.done


def _take(path: Path) -> None:
    RunDir(path).begin_life()


def test_two_processes_never_share_a_run(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    run.begin_life()
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_take, args=(run.path,))
    other.start()
    other.join()
    assert other.exitcode != 0
    assert run.lives() == 1


def test_inputs_are_hashed_into_the_manifest(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    run.add_inputs({"data": rows}, lineage={"weights": "MIT"})
    manifest = read_json(run.manifest)
    assert len(manifest["inputs"]["data"]["sha256"]) == 64
    assert manifest["lineage"] == {"weights": "MIT"}
    assert manifest["versions"]["torch"]


def test_seeds_are_derived_from_what_names_an_item() -> None:
    assert derived_seed(1, "packs", 0) == derived_seed(1, "packs", 0)
    assert len({derived_seed(seed, "packs", epoch) for seed in (1, 2) for epoch in (0, 1)}) == 4
