"""Input that means harm: names that lead elsewhere, models and data that carry code, markup."""

from __future__ import annotations

import ast
import builtins
import json
from pathlib import Path

import pytest

from launch.config import SCHEMAS
from pacos.configs.compose import compose_checked
from pacos.configs.stage import run_name
from pacos.configs.suite import SuiteConfig
from pacos.errors import ConfigError, UserError
from pacos.files import write_json
from pacos.model.loading import load_tokenizer
from pacos.run.open import open_run
from sft.config import SFTConfig
from sft.model.weights import INDEX, weight_files
from tests.pacos.run.test_open import a_config
from tests.test_architecture import SOURCES

NAMES = ["../up", "a/b", "/etc/x", ".hidden", "..", "two\nlines", "a" * 201]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_kept_below_its_root(name: str, tmp_path: Path) -> None:
    config = a_config(tmp_path, name)
    overrides = ["data.path=x", "model=tiny", f"run.name={json.dumps(name)}"]
    with pytest.raises(ConfigError, match=r"run\.name = "):
        compose_checked(SFTConfig, SCHEMAS, overrides)
    config.run.name, config.model.name = None, name
    assert "/" not in run_name(config)
    assert "\n" not in run_name(config)
    assert open_run(config).path.parent == tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_results_are_kept_below_their_run(name: str, tmp_path: Path) -> None:
    suite = SuiteConfig(name=name, tasks=["fine", "mmlu_*"], folder=str(tmp_path))
    assert [problem.key for problem in suite.name_problems()] == ["suite.name"]


def test_tasks_are_read_from_their_folder_alone(tmp_path: Path) -> None:
    from eval.harness.suites import build_suite

    suite = SuiteConfig(name="s", tasks=["../other"], folder=str(tmp_path))
    assert [problem.key for problem in suite.name_problems()] == ["suite.tasks"]
    (tmp_path / "fine.yaml").write_text("task: ../../../elsewhere\n")
    with pytest.raises(UserError, match="write it without /"):
        build_suite(SuiteConfig(name="s", tasks=["fine"], folder=str(tmp_path)))


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd"])
def test_an_index_of_weights_names_files_of_its_folder_alone(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / INDEX, {"weight_map": {"lm_head.weight": name}})
    with pytest.raises(UserError, match="source that you trust"):
        weight_files(tmp_path)


def test_code_that_comes_with_a_model_is_not_run_whatever_a_person_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "input", lambda *_: "yes")
    evil = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    folder, ran = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "evil.py").write_text(
        evil.replace("Path(__file__).with_name('ran')", f"Path({str(ran)!r})")
    )
    write_json(folder / "config.json", {"model_type": "x", "auto_map": {"AutoConfig": "evil.C"}})
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["evil.T", None]}},
    )
    with pytest.raises(UserError, match="cannot be loaded"):
        load_tokenizer(str(folder))
    assert not ran.exists()


def calls() -> list[tuple[Path, str, set[str]]]:
    """File, name and keywords of every call of a function by its name in the product."""
    return [
        (path, ast.unparse(node.func), {word.arg or "**" for word in node.keywords})
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_nothing_is_loaded_that_can_carry_code() -> None:
    for path, name, keywords in calls():
        last = name.rpartition(".")[2]
        assert name not in ("torch.load", "pickle.load", "pickle.loads"), path
        assert last not in ("unsafe_load", "full_load", "unpack_archive", "extractall"), path
        assert name != "yaml.load" or "Loader" in keywords, path
        # What pacos unpacks itself comes from a package that was installed.
        is_auto = name.endswith(".from_pretrained") and "Auto" in name
        if is_auto and "gguf_file" not in keywords:
            assert "trust_remote_code" in keywords, path
