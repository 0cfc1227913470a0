"""A person at the page: keyboard, mouse, both languages, a program that goes away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pacos.files import read_jsonl
from pacos.review.items import Rating, Ratings
from pacos.review.server import ReviewServer
from tests.pacos.review.pages import CHROMIUM, ITEMS, Page, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]

NOW = "document.querySelector('fieldset.now').dataset.question"


def said(path: Path) -> list[tuple[str, str, object, str]]:
    return [(one["item"], one["question"], one["value"], one["reason"]) for one in read_jsonl(path)]


async def saved(page: Page, path: Path, count: int) -> None:
    for _ in range(200):
        if len(said(path)) == count:
            await page.until("waiting.length === 0")  # the page has heard of it
            return
        await asyncio.sleep(0.05)
    raise AssertionError((said(path), await page.text()))


async def rate_everything(page: Page, url: str, path: Path) -> None:
    await page.open(url)
    text = await page.text()
    assert "Say <b>hi</b>." in text, "what is shown is text, never markup"
    assert "1 of 3" in text
    assert await page.value(NOW) == "clarity"
    await page.press("4")
    await page.until(f"{NOW} === 'warmth'")
    await page.press("9")
    assert await page.value(NOW) == "warmth", "a key that answers nothing does nothing"
    await page.press("2")
    await page.until("document.body.innerText.includes('2 of 3')")
    await saved(page, path, 2)

    await page.press("ArrowLeft")
    await page.until("document.body.innerText.includes('1 of 3')")
    pressed = (
        "[...document.querySelectorAll('[aria-pressed=true]')].map(one => one.innerText).join()"
    )
    assert await page.value(pressed) == "4,2"
    await page.press("ArrowRight")
    await page.click("fieldset button:nth-of-type(5)")
    await page.until("document.body.innerText.includes('3 of 3')")

    await page.press("r")
    await page.until("document.activeElement.tagName === 'TEXTAREA'")
    await page.type("1점: 존댓말이 어색함")
    await page.press("Enter")
    await saved(page, path, 5)
    await page.until("document.body.innerText.includes('All done')")
    await page.click("#language")
    await page.until("document.body.innerText.includes('모두 마쳤습니다')")


def test_keyboard_mouse_and_reasons(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"

    async def look() -> None:
        with ReviewServer("a run", ITEMS, Ratings(path)) as server:
            async with browser() as page:
                await rate_everything(page, server.url, path)

    asyncio.run(look())
    assert said(path) == [
        ("first", "clarity", 4.0, ""),
        ("first", "warmth", 2.0, ""),
        ("second", "clarity", 5.0, ""),
        ("third", "row", "rejected", ""),
        ("third", "row", "rejected", "1점: 존댓말이 어색함"),
    ]


class FailingRatings(Ratings):
    """A file that cannot be written until the disk has space again."""

    has_space = False

    def add(self, rating: Rating) -> None:
        if not self.has_space:
            raise OSError("No space left on device")
        super().add(rating)


def test_a_rating_that_the_program_cannot_write_is_shown_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"

    async def look() -> None:
        ratings = FailingRatings(path)
        with ReviewServer("a run", ITEMS, ratings) as server:
            async with browser() as page:
                await page.open(server.url)
                await page.press("4")
                await page.until(
                    "document.body.innerText.includes('reports an error: No space left on device')"
                )
                assert await page.value("waiting.length") == 1
                ratings.has_space = True
                await saved(page, path, 1)
                await page.until("document.getElementById('failure').hidden")

    asyncio.run(look())
    assert said(path) == [("first", "clarity", 4.0, "")]


def test_it_begins_where_it_was_left_and_says_when_nothing_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"

    async def look() -> None:
        first = ReviewServer("a run", ITEMS, Ratings(path))
        async with browser("ko") as page:
            with first:
                await page.open(first.url)
                await page.until("document.body.innerText.includes('3개 중 1번째')")
                await page.press("3")
                await page.press("3")
                await saved(page, path, 2)
                await page.open(first.url)
                await page.until("document.body.innerText.includes('3개 중 2번째')")
            await page.press("1")
            await page.until("document.body.innerText.includes('저장되지 않았습니다')")
            assert len(said(path)) == 2

    asyncio.run(look())
