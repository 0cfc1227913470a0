"""Previews as a page and in the terminal, and the counts of each source."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sft.config import SFTConfig
from sft.configs.data import OnError, TooLong
from sft.preview.counts import SourceCounts, counts
from sft.preview.page import write_page
from sft.preview.rows import RunRows
from sft.preview.terminal import print_rows
from tests.sft.preview.conftest import Load, row, write

EVIL = "<script>alert('&amp;')</script> \x1b[31m"


class Boxes(HTMLParser):
    """Token ids of the page by the class of their run, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[tuple[str, int]] = []
        self.text = ""
        self._run = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if (values.get("class") or "").startswith("run "):
            self._run = values["class"].removeprefix("run ")
        if tag == "span" and "title" in values:
            ids = values["title"].partition(" · ")[0]
            self.ids += [(self._run, int(token)) for token in ids.split(", ")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def rows(config: SFTConfig, load: Load, tmp_path: Path) -> RunRows:
    kept = [row(EVIL, "Fine."), row("안녕"), row({"content": "Bad.", "weight": 0}, "Good.")]
    silent = {"messages": [{"role": "user", "content": EVIL}]}
    config.data.path = write(tmp_path / "main.jsonl", [*kept, row("long " * 200), silent])
    config.data.mix = {write(tmp_path / "b.jsonl", [{**row("b"), "topic": "x"}]): 2}
    config.data.on_error = OnError.quarantine
    return load(config)


def test_the_page_holds_every_token_with_its_reason(rows: RunRows, tmp_path: Path) -> None:
    shown = rows.first(10)
    file = tmp_path / "new" / "page.html"
    write_page(file, "small", shown, counts(rows))
    boxes = Boxes()
    boxes.feed(file.read_text(encoding="utf-8"))
    expected = [
        (piece.reason.name, token) for row in shown for piece in row.pieces for token in piece.ids
    ]
    assert boxes.ids == expected
    assert {reason for reason, _ in expected} == {"prompt", "trained", "turn"}
    assert "weight 0: the row says that this turn has no loss" in boxes.text
    assert "trained: has a loss" in boxes.text
    assert "data.train_on_reasoning" not in boxes.text, "only reasons that occur are explained"


def test_text_of_rows_is_escaped_and_the_page_needs_nothing_else(
    rows: RunRows, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    write_page(file, "<b>small</b>", rows.first(10), counts(rows))
    page = file.read_text(encoding="utf-8")
    boxes = Boxes()
    boxes.feed(page)
    assert "script" not in boxes.tags
    assert "script" in boxes.text
    assert "<b>small</b>" in boxes.text
    assert "\x1b" not in page
    assert not re.search(r"(src|href|url|@import)\s*[=(]", page)


def test_a_row_that_is_left_out_is_told_on_the_page(rows: RunRows, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    write_page(file, "small", rows.at("main.jsonl:4"), counts(rows))
    assert "not used: " in file.read_text(encoding="utf-8")


def test_each_source_has_its_counts(rows: RunRows) -> None:
    main, other = counts(rows)
    assert (main.rows, main.examples, main.epoch, main.held, main.left_out) == (3, 3, 3, 0, 2)
    assert (other.rows, other.epoch, other.left_out) == (1, 2, 0)
    encoded = [rows.data.encoded(index) for index in range(3)]
    assert main.tokens == sum(len(row.ids) for row in encoded)
    assert main.trained == sum(row.num_supervised for row in encoded)
    assert main.longest == max(len(row.ids) for row in encoded)
    long, unusable = main.treatments
    assert "main.jsonl:4: " in long.reasons[0]
    assert "has no turn of the assistant" in unusable.reasons[0]
    assert any("not read: topic (1 row)" in remark for remark in other.remarks)


def test_shortened_rows_are_used(config: SFTConfig, load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "long.jsonl", [row("a"), *[row("long " * 200)] * 5])
    config.data.path, config.data.too_long = path, TooLong.truncate
    (found,) = counts(load(config))
    (treatment,) = found.treatments
    assert (found.rows, found.left_out, treatment.rows) == (6, 0, 5)
    assert treatment.name == "shortened, longer than data.max_length = 512"
    assert len(treatment.reasons) == 3


def printed(
    rows: RunRows, capsys: pytest.CaptureFixture[str], most: int | None = None
) -> tuple[str, list[SourceCounts]]:
    sources = counts(rows)
    print_rows(rows.at("main.jsonl:3"), sources, most)
    return capsys.readouterr().out, sources


def test_brackets_mark_tokens_in_a_pipe(
    rows: RunRows, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text, _ = printed(rows, capsys)
    assert "⟨weight 0: Bad.<|im_end|>⟩" in text
    assert "⟦Good.<|im_end|>⟧" in text
    assert re.search(r"⟦…⟧ +trained: has a loss", text)
    assert re.search(r"\d+ tokens, 6 trained", text.splitlines()[0])
    assert "\x1b" not in text
    assert "1 row left out, longer than data.max_length = 512" in text


def test_colours_mark_them_in_a_terminal_unless_they_are_unwanted(
    rows: RunRows, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text, _ = printed(rows, capsys)
    assert "\x1b[1;32m" in text
    assert "⟦" not in text
    assert re.sub(r"\x1b\[[\d;]*m", "", text).count("Bad.<|im_end|>") == 1
    monkeypatch.setenv("NO_COLOR", "1")
    text, _ = printed(rows, capsys)
    assert "⟦Good.<|im_end|>⟧" in text


def test_a_long_prompt_is_shortened_but_every_edge_is_shown(
    rows: RunRows, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = printed(rows, capsys, most=4)
    assert re.search(r"<\|im_start\|>u \[…\d+ more tokens…\] t↵", text)
    assert "⟨weight 0: Ba […1 more tokens…] .<|im_end|>⟩" in text
    assert "⟦Go […2 more tokens…] .<|im_end|>⟧" in text
