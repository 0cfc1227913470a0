"""The command as a user types it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from launch import cli
from launch.cli import COMMANDS, parse
from pacos.errors import EXIT_USER_ERROR, UserError
from pacos.prompts.formats import PromptFormat
from tests.conftest import Pacos

TAKES_OVERRIDES = ["selfinstruct", "sft", "eval", "pipeline", "plan", "doctor", "prefetch"]
TAKES_PATH = ["status", "resubmit", "report", "review", "chat", "sync"]


def test_the_overview_lists_every_command(pacos: Pacos) -> None:
    done = pacos("--help")
    assert done.returncode == 0
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(summary)}$", done.stdout, flags=re.M), name
    assert pacos().stdout == done.stdout


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([command, option])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: pacos {command}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(([command, "--bogus"], "unrecognized arguments: --bogus") for command in TAKES_OVERRIDES),
        *(([command, "x", "--bogus"], "unrecognized arguments: --bogus") for command in TAKES_PATH),
        *(
            ([command], "the following arguments are required")
            for command in TAKES_PATH
            if command != "status"
        ),
        *(([command, "a", "b"], "unrecognized arguments: b") for command in ("chat", "status")),
        (["review", "x", "--port", "many"], "argument --port: invalid int value: 'many'"),
        (["plan", "--rows", "0"], "argument --rows: 0: must be an integer of at least 1"),
        (["sft", "--cfg", "all", "--pack", "x"], "unrecognized arguments: --pack"),
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(words)
    first, *_ = str(refused.value).splitlines()
    assert first.startswith(f"{words[0]}: ")
    assert message in first
    assert f"usage: pacos {words[0]}" in str(refused.value)


def test_wrong_arguments_exit_with_2(pacos: Pacos) -> None:
    done = pacos("resubmit")
    assert done.returncode == 2
    assert done.stderr.startswith("pacos: resubmit: the following arguments are required")


def test_a_full_disk_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(words: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/attempts.jsonl")

    monkeypatch.setattr(cli, "parse", full)
    assert cli.main() == EXIT_USER_ERROR
    assert "runs/a/attempts.jsonl: No space left on device; free space" in capsys.readouterr().err


def test_overrides_and_options_come_in_any_order() -> None:
    args = parse(["sft", "--cfg", "job", "a=1", "--package", "model", "~b", "c=-1", "--resolve"])
    assert args.overrides == ["a=1", "~b", "c=-1"]
    assert args.hydra_options == ["--cfg", "job", "--package", "model", "--resolve"]
    args = parse(["plan", "a=1", "--json", "b=2", "--rows", "5", "c=3"])
    assert (args.overrides, args.rows, args.json) == (["a=1", "b=2", "c=3"], 5, True)


def test_help_shows_keys_with_their_meaning(pacos: Pacos) -> None:
    text = pacos("sft", "--help").stdout
    assert "optimizer.lr = 2e-05  (float)\n      Peak learning rate." in text
    assert "llama2_70b" in text
    assert "smollm2_135m (default)" in text


@pytest.mark.parametrize("stage", ["selfinstruct", "sft", "eval", "pipeline"])
def test_help_shows_types_as_values_are_written(pacos: Pacos, stage: str) -> None:
    text = pacos(stage, "--help").stdout
    key = r"^  ([\w.]+) = .*  \((.*)\)$"
    types = dict(re.findall(key, text, flags=re.M))
    assert len(types) > 50
    plain = re.compile(r"(?:list|dict)\[\w+(?:, \w+)?\]|null, or keys of its own|\w+(?: \| \w+)*")
    assert [name for name, kind in types.items() if not plain.fullmatch(kind)] == []
    if stage == "selfinstruct":
        assert types["generator.prompt_format"] == " | ".join([*PromptFormat.__members__, "null"])


def test_every_config_problem_is_reported_and_nothing_is_left(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("sft", "optimzer.lr=1", "epochs=many", "data.max_length=100000")
    assert done.returncode == 2
    for key in ("optimzer.lr = 1", "epochs = many", "data.max_length = 100000", "data.path = ???"):
        assert f"  {key}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_refused(pacos: Pacos) -> None:
    done = pacos("train")
    assert done.returncode == 2
    assert "sft" in done.stderr


def test_cfg_job_prints_the_composed_config(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("sft", "--cfg", "job", "model=llama2_7b", "optimizer.lr=1e-5")
    assert done.returncode == 0
    assert "lr: 1.0e-05" in done.stdout
    assert "name: llama2_7b" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_sweep_with_a_bad_point_does_not_start(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    done = pacos("sft", "-m", "data.path=rows.jsonl", "epochs=1,0")
    assert done.returncode == 2
    assert "epochs = 0: must be at least 1" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_rank_is_refused(pacos: Pacos) -> None:
    done = pacos("sft", "data.path=x", RANK="1", LOCAL_RANK="1", WORLD_SIZE="2")
    assert done.returncode == 2
    assert "-m sft.train" in done.stderr


@pytest.mark.parametrize("option", ["-m", "--dry-run"])
def test_options_of_hydra_go_alone(pacos: Pacos, option: str) -> None:
    done = pacos("sft", "--cfg", "job", option)
    assert done.returncode == 2
    assert "--cfg cannot be combined" in done.stderr


def test_slurm_without_sbatch_says_so(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    done = pacos(
        "sft", "cluster=slurm", "data.path=rows.jsonl", "batch.tokens=65536", PATH="/nonexistent"
    )
    assert done.returncode == 2
    assert "login node" in done.stderr
