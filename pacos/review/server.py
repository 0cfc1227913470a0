"""The review page's HTTP server, for this machine only, under a secret token in the address.

127.0.0.1 is open to every user of a shared login node. The token keeps them out.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from pacos.errors import UserError
from pacos.review.items import Question, Rating, Ratings, ReviewItem

PORT = 8765
"""First port to try. A fixed one lets a user set up an SSH tunnel in advance."""
PORTS = 20
"""Ports to try, counted from PORT."""
MOST_BYTES = 100_000
"""Longest rating accepted, in bytes."""

SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers that keep other sites from reading or framing the page, or learning its address."""


class ReviewServer:
    """The page and its items, served by a thread inside a `with` block.

    Args:
        title: of the page.
        items: in the order of review.
        ratings: stores the person's ratings.
        port: None takes the first free one from `PORT` on.

    Raises:
        UserError: the port is taken.
    """

    def __init__(
        self, title: str, items: Sequence[ReviewItem], ratings: Ratings, port: int | None = None
    ) -> None:
        self._items = {item.id: item for item in items}
        self._ratings = ratings
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(16)
        self._title = title
        self._http = _bind(port, self._handler())
        # A daemon, so that a request that hangs cannot keep the program from ending.
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://127.0.0.1:{self.port}/{self._token}/"

    def __enter__(self) -> ReviewServer:
        self._thread.start()
        return self

    def __exit__(self, *of_error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def page(self) -> bytes:
        return files("pacos.review").joinpath("page.html").read_bytes()

    def state(self) -> dict[str, Any]:
        """Return everything that the page shows."""
        with self._lock:
            ratings = self._ratings.all()
        return {
            "title": self._title,
            "items": [item.for_page() for item in self._items.values()],
            "ratings": [
                {
                    "item": rating.item,
                    "question": rating.question,
                    "value": rating.value,
                    "reason": rating.reason,
                }
                for rating in ratings
            ],
        }

    def add_rating(self, sent: Any) -> None:
        """Store one rating.

        Raises:
            ValueError: it is malformed, or names an unknown item, question or value.
        """
        if not isinstance(sent, dict):
            raise ValueError("a rating must be an object")
        item = self._items.get(str(sent.get("item")))
        if item is None:
            raise ValueError(f"no item {sent.get('item')!r}")
        name = sent.get("question")
        question = next((each for each in item.questions if each.name == name), None)
        if question is None:
            raise ValueError(f"item {item.id} has no question {name!r}")
        reason = sent.get("reason", "")
        if not isinstance(reason, str):
            raise ValueError("the reason must be a text")
        value = _chosen(question, sent.get("value"))
        # Requests are handled in threads of their own.
        with self._lock:
            self._ratings.add(Rating(item.id, question.name, value, reason, item.drawn))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers requests below the token's path and no others."""

            def do_GET(self) -> None:
                path = self._inner_path()
                if path == "":
                    self._send(HTTPStatus.OK, server.page(), "text/html; charset=utf-8")
                elif path == "state":
                    self._send_json(HTTPStatus.OK, server.state())
                else:
                    self._send_json(HTTPStatus.NOT_FOUND, {"error": "not found"})

            def do_POST(self) -> None:
                size = self.headers.get("Content-Length", "")
                if self._inner_path() != "ratings":
                    self._send_json(HTTPStatus.NOT_FOUND, {"error": "not found"})
                # Checked before reading: the body could be of any size.
                elif not size.isdigit() or int(size) > MOST_BYTES:
                    self._send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "too long"})
                else:
                    self._add_rating(self.rfile.read(int(size)))

            def _add_rating(self, content: bytes) -> None:
                try:
                    server.add_rating(json.loads(content))
                except ValueError as error:
                    self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
                except OSError as error:
                    self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})
                else:
                    self._send_json(HTTPStatus.OK, {"saved": True})

            def _inner_path(self) -> str | None:
                """Return the path below the token; None if the token is wrong."""
                _, _, rest = self.path.partition("/")
                token, slash, inner = rest.partition("/")
                # In constant time, so that response times reveal nothing about the token.
                known = secrets.compare_digest(token.encode(), server._token.encode())
                return inner if known and slash else None

            def _send_json(self, status: HTTPStatus, value: Any) -> None:
                self._send(status, json.dumps(value).encode(), "application/json")

            def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                for name, value in SAFE.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *of_request: object) -> None:
                """Log nothing: the address holds the token."""

        return Handler


def _chosen(question: Question, value: Any) -> float | str:
    for choice in question.choices:
        if value == choice.value:
            return choice.value
    raise ValueError(f"question {question.name} has no answer {value!r}")


def _bind(port: int | None, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    numbers = range(PORT, PORT + PORTS) if port is None else (port,)
    for number in numbers:
        try:
            return ThreadingHTTPServer(("127.0.0.1", number), handler)
        except OSError:
            continue
    raise UserError(
        f"--port {numbers[0]}: taken by another program; choose another, or leave it out"
    )
