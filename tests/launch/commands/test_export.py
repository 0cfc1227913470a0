"""`pacos export`: what the front hands to the program that has torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from launch.cli import parse
from pacos.errors import UserError
from sft.configs.export import ExportRequest
from tests.conftest import Pacos


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Commands and environments of programs that would replace this process."""
    found: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda _, command, own: found.append((command, own)))
    return found


def test_paths_are_those_of_the_folder_that_the_command_is_typed_in(
    started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    args = parse(["export", "runs/x", "--checkpoint", "40", "--out", "m", "--push", "me/x"])
    args.execute(args)
    ((command, environment),) = started
    assert command[1:3] == ["-m", "sft.export.run"]
    request = ExportRequest(**json.loads(command[3]))
    assert request == ExportRequest(
        run=str(tmp_path / "runs/x"), checkpoint="40", out=str(tmp_path / "m"), push="me/x"
    )
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("checkpoint", ["newest", "-1", "1.5", ""])
def test_a_checkpoint_is_a_word_or_a_step(
    started: list[tuple[list[str], dict[str, str]]], checkpoint: str
) -> None:
    args = parse(["export", "runs/x", f"--checkpoint={checkpoint}"])
    with pytest.raises(UserError, match="must be best, latest or a step's number"):
        args.execute(args)
    assert not started


def test_a_converter_that_is_not_there_is_explained_before_anything_is_done(pacos: Pacos) -> None:
    done = pacos("export", "runs/none", "--gguf")
    assert done.returncode == 2
    assert "it comes with llama.cpp" in done.stderr
    done = pacos("export", "runs/none")
    assert done.returncode == 2
    assert "runs/none: no run of pacos sft" in done.stderr
