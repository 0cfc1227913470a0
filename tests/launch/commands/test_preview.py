"""`pacos preview` as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from sft.preview.run import main as preview
from tests.conftest import Pacos

SMALL = ("model=tiny", "batch.tokens=2048", "data.path=rows.jsonl")


@pytest.fixture(autouse=True)
def rows(tmp_path: Path) -> None:
    answers = ["Red.", "Two\nlines.", "빨강"]
    lines = [json.dumps({"instruction": "Name one.", "output": answer}) for answer in answers]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def pacos_here(pacos_here: Pacos, monkeypatch: pytest.MonkeyPatch) -> Pacos:
    """The command and the program that it starts, both in the tests' process."""

    def run(program: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(program, preview(program[3:]))

    monkeypatch.setattr("launch.commands.preview.subprocess", SimpleNamespace(run=run))
    return pacos_here


def test_help_says_what_it_shows(pacos: Pacos) -> None:
    done = pacos("preview", "--help")
    assert done.returncode == EXIT_DONE
    for words in ("KEY=VALUE…", "--row FILE:LINE", "--html FILE", "--rows N", "why"):
        assert words in done.stdout
    assert "preview" in pacos("--help").stdout


def test_rows_are_printed_and_nothing_is_left_behind(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("preview", *SMALL)
    assert done.returncode == EXIT_DONE, done.stderr
    assert "⟦Red.<|im_end|>⟧" in done.stdout
    assert "⟦Two↵\nlines.<|im_end|>⟧" in done.stdout
    assert "⟦빨강<|im_end|>⟧" in done.stdout
    assert "an epoch trains on 3" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_one_row_becomes_a_page(pacos_here: Pacos, tmp_path: Path) -> None:
    done = pacos_here("preview", *SMALL, "--row", "rows.jsonl:2", "--html", "new/page.html")
    assert done.returncode == EXIT_DONE, done.stderr
    assert done.stdout == "1 row written to new/page.html\n"
    assert "rows.jsonl:2" in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    again = pacos_here("preview", *SMALL, "--html", "new")
    assert again.returncode == EXIT_USER_ERROR
    assert again.stderr.splitlines()[-1].startswith("pacos: --html new: cannot be written: ")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("rows.jsonl:9", "no row is there; the rows are from rows.jsonl:1 to rows.jsonl:3"),
        ("", "--row : names no row"),
    ],
)
def test_a_row_that_is_not_there_is_the_users_mistake(
    pacos_here: Pacos, row: str, says: str
) -> None:
    done = pacos_here("preview", *SMALL, f"--row={row}")
    assert done.returncode == EXIT_USER_ERROR
    assert says in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_wrong_overrides_are_told_together(pacos_here: Pacos) -> None:
    done = pacos_here(
        "preview", "model=tiny", "data.path=no.jsonl", "epochs=0", "data.max_length=0"
    )
    assert done.returncode == EXIT_USER_ERROR
    for problem in ("data.path = no.jsonl", "epochs = 0", "data.max_length = 0"):
        assert problem in done.stderr
    assert "Traceback" not in done.stderr
    done = pacos_here("preview", *SMALL, "--rows", "0")
    assert "--rows: 0: must be an integer of at least 1" in done.stderr


def test_a_row_that_ends_the_run_is_named(pacos_here: Pacos, tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"instruction": "Name none.", "output": null}\n')
    done = pacos_here("preview", *SMALL, "--row", "rows.jsonl:1")
    assert done.returncode == EXIT_USER_ERROR
    assert "rows.jsonl:4: output = null" in done.stderr
    done = pacos_here("preview", *SMALL, "--row", "rows.jsonl:4", "data.on_error=quarantine")
    assert done.returncode == EXIT_DONE
    assert "rows.jsonl:4 · not used: output = null" in done.stdout
