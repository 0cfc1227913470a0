import copy
from pathlib import Path

import pytest

from pacos.configs.frozen import load_frozen
from pacos.configs.stage import RunConfig, run_name
from pacos.configs.tracking import TrackingConfig
from pacos.errors import UserError
from pacos.identity import identity, identity_fields
from pacos.run.lives import Lives
from pacos.run.open import find_run, open_run, with_run_path
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
    assert load_frozen(Lives(run).next_config(), SFTConfig).cluster.ranks_per_node == 4
    open_run(a_config(tmp_path))
    assert Lives(run).next_config() == run.config


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


def test_finding_a_run_changes_neither_disk_nor_config(tmp_path: Path) -> None:
    config = a_config(tmp_path, None)
    before = copy.deepcopy(config)
    run = find_run(config)
    assert config == before
    assert not run.path.exists()


def test_the_frozen_config_names_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = a_config(Path("runs"), None)
    run = open_run(config)
    assert config.run == RunConfig(name=None, root="runs")
    frozen = load_frozen(run.config, SFTConfig).run
    assert frozen == RunConfig(name=run.path.name, root=str(tmp_path / "runs"))
    assert with_run_path(config).run == frozen
