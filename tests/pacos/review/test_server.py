"""The page over real HTTP, and what must not get in or out."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.review.items import Choice, Drawn, Question, Ratings, ReviewItem
from pacos.review.server import ReviewServer
from tests.pacos.review.pages import ITEMS


@pytest.fixture
def ratings(tmp_path: Path) -> Ratings:
    return Ratings(tmp_path / "review.jsonl")


@pytest.fixture
def server(ratings: Ratings) -> Iterator[ReviewServer]:
    with ReviewServer("a run", ITEMS, ratings) as running:
        yield running


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return bytes(reply.read())


def post(server: ReviewServer, sent: Any) -> tuple[int, dict[str, Any]]:
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    request = urllib.request.Request(f"{server.url}ratings", data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_page_is_one_file_that_asks_for_nothing_else(server: ReviewServer) -> None:
    with urllib.request.urlopen(server.url, timeout=10) as reply:
        page = reply.read().decode()
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Cache-Control"] == "no-store"
    assert "<!doctype html>" in page
    assert "http://" not in page
    assert "https://" not in page
    assert " src=" not in page


def test_the_person_is_not_told_why_an_item_is_shown(server: ReviewServer) -> None:
    state = json.loads(get(f"{server.url}state"))
    assert [item["id"] for item in state["items"]] == [item.id for item in ITEMS]
    assert "drawn" not in json.dumps(state)
    assert state["title"] == "a run"


def test_a_rating_is_on_the_disk_when_the_page_hears_of_it(
    server: ReviewServer, tmp_path: Path
) -> None:
    rating = {"item": ITEMS[0].id, "question": "clarity", "value": 4}
    assert post(server, rating) == (200, {"saved": True})
    (record,) = read_jsonl(tmp_path / "review.jsonl")
    assert (record["value"], record["drawn"], record["reason"]) == (4.0, "chosen", "")
    assert json.loads(get(f"{server.url}state"))["ratings"] == [{**rating, "reason": ""}]


BAD: list[tuple[Any, str]] = [
    (b"{", "Expecting"),
    ([], "a rating must be an object"),
    ({"item": "none", "question": "clarity", "value": 4}, "no item 'none'"),
    ({"item": ITEMS[0].id, "question": "x", "value": 4}, "has no question 'x'"),
    ({"item": ITEMS[0].id, "question": "clarity", "value": 9}, "has no answer 9"),
    ({"item": ITEMS[0].id, "question": "clarity", "value": 4, "reason": 1}, "must be a text"),
]


@pytest.mark.parametrize(("sent", "message"), BAD)
def test_what_is_no_rating_is_refused(
    server: ReviewServer, ratings: Ratings, sent: Any, message: str
) -> None:
    status, said = post(server, sent)
    assert status == 400
    assert message in said["error"]
    assert ratings.all() == []


def test_a_rating_that_cannot_be_written_is_an_error_of_the_program(
    server: ReviewServer, ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(ratings, "add", fail)
    rating = {"item": ITEMS[0].id, "question": "clarity", "value": 4}
    assert post(server, rating) == (500, {"error": "No space left on device"})


def test_too_long_is_refused(server: ReviewServer) -> None:
    assert post(server, {"reason": "x" * 200_000})[0] == 413


def test_who_does_not_know_the_token_gets_nothing(server: ReviewServer, ratings: Ratings) -> None:
    base = f"http://127.0.0.1:{server.port}"
    for path in ("/", "/state", "/wrong/", "/wrong/state", f"{server.url[len(base) :]}other"):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(base + path)
        assert error.value.code == 404
    request = urllib.request.Request(f"{base}/wrong/ratings", data=b"{}")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)
    assert len(server.url.split("/")[3]) >= 20


def test_only_this_machine_can_reach_it(server: ReviewServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    others = [address for *_, (address, *_) in socket.getaddrinfo(socket.gethostname(), None)]
    for address in {str(one) for one in others} - {"127.0.0.1", "::1"}:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(2)
            assert probe.connect_ex((address, server.port)) != 0


def test_a_port_that_is_taken(server: ReviewServer, ratings: Ratings) -> None:
    with pytest.raises(UserError, match=f"--port {server.port}: taken"):
        ReviewServer("a run", ITEMS, ratings, port=server.port)
    with ReviewServer("a run", ITEMS, ratings) as other:
        assert other.port != server.port


def test_text_of_any_kind_arrives_as_it_is(ratings: Ratings) -> None:
    text = '</script><script>alert(1)</script> 한국어 "quotes" \u2028'
    choice = Choice("yes", "yes", "y")
    item = ReviewItem("x", Drawn.random, "ko", (("머리", text),), (Question("q", text, (choice,)),))
    with ReviewServer(text, [item], ratings) as running:
        state = json.loads(get(f"{running.url}state"))
    assert state["items"][0]["sections"] == [["머리", text]]
