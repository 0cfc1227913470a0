"""A parsed report page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "br", "wbr", "img", "link"}


class Page(HTMLParser):
    """Tags, attributes and visible text of a report; fails on tags that are not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data
            self.words += data.split()

    @property
    def sections(self) -> list[str]:
        return [str(attributes["id"]) for tag, attributes in self.tags if tag == "section"]


def cells(page: Page, *start: str) -> str:
    """Return the text of the page after the first occurrence of these consecutive words."""
    words = page.words
    for at in range(len(words)):
        if words[at : at + len(start)] == [*start]:
            return " ".join(words[at + len(start) : at + len(start) + 40])
    raise AssertionError(start)
