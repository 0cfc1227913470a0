"""Serves the page to this machine alone, below a token that only the printed address has."""

from __future__ import annotations

import json
import secrets
import signal
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from pacos.errors import UserError
from pacos.review.items import Item, Question, Rating, Ratings
from pacos.run.stop import SIGNALS

PORT = 8765
"""Tried first, so that a tunnel can be set up before; the next free one if it is taken."""
PORTS = 20
MOST_BYTES = 100_000
"""Of a rating that is sent."""

SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""No other site may read, frame or learn the address of the page."""


class ReviewServer:
    """The page with its items, in a thread of its own between `with` and the end of it.

    Args:
        title: what is looked at.
        items: in the order in which they are shown.
        ratings: takes what the person says.
        port: None tries `PORT` and those after it.

    Raises:
        UserError: the port is taken.
    """

    def __init__(
        self, title: str, items: Sequence[Item], ratings: Ratings, port: int | None = None
    ) -> None:
        self._items = {item.id: item for item in items}
        self._ratings = ratings
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(16)
        self._title = title
        self._http = _bind(port, self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The address that the person opens."""
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
        """Everything that the page shows."""
        with self._lock:
            rated = self._ratings.all()
        return {
            "title": self._title,
            "items": [item.shown() for item in self._items.values()],
            "ratings": [
                {"item": one.item, "question": one.question, "value": one.value}
                | {"reason": one.reason}
                for one in rated
            ],
        }

    def take(self, sent: Any) -> None:
        """Keep one rating.

        Raises:
            ValueError: it is none, or of an item or with a value that is not there.
        """
        if not isinstance(sent, dict):
            raise ValueError("a rating is an object")
        item = self._items.get(str(sent.get("item")))
        if item is None:
            raise ValueError(f"no item {sent.get('item')!r}")
        question = next((one for one in item.questions if one.name == sent.get("question")), None)
        if question is None:
            raise ValueError(f"item {item.id} has no question {sent.get('question')!r}")
        reason = sent.get("reason", "")
        if not isinstance(reason, str):
            raise ValueError("the reason is no text")
        value = _chosen(question, sent.get("value"))
        with self._lock:
            self._ratings.add(Rating(item.id, question.name, value, reason, item.drawn))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers below the token's path and nowhere else."""

            def do_GET(self) -> None:
                path = self._inner_path()
                if path == "":
                    self._send(HTTPStatus.OK, server.page(), "text/html; charset=utf-8")
                elif path == "state":
                    self._send_json(HTTPStatus.OK, server.state())
                else:
                    self._send_json(HTTPStatus.NOT_FOUND, {"error": "not here"})

            def do_POST(self) -> None:
                size = self.headers.get("Content-Length", "")
                if self._inner_path() != "ratings":
                    self._send_json(HTTPStatus.NOT_FOUND, {"error": "not here"})
                elif not size.isdigit() or int(size) > MOST_BYTES:
                    self._send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "too long"})
                else:
                    self._take(self.rfile.read(int(size)))

            def _take(self, content: bytes) -> None:
                try:
                    server.take(json.loads(content))
                except ValueError as error:
                    self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
                except OSError as error:
                    self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})
                else:
                    self._send_json(HTTPStatus.OK, {"saved": True})

            def _inner_path(self) -> str | None:
                """What is asked for below the token; None for whoever does not know it."""
                _, _, rest = self.path.partition("/")
                token, slash, inner = rest.partition("/")
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
                """Say nothing: the address with its token belongs in no log."""

        return Handler


def _chosen(question: Question, value: Any) -> float | str:
    for choice in question.choices:
        if value == choice.value:
            return choice.value
    raise ValueError(f"question {question.name} has no answer {value!r}")


def _bind(port: int | None, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    tried = range(PORT, PORT + PORTS) if port is None else (port,)
    for number in tried:
        try:
            return ThreadingHTTPServer(("127.0.0.1", number), handler)
        except OSError:
            continue
    raise UserError(f"--port {tried[0]}: taken by another program; choose another, or leave it out")


def serve(server: ReviewServer) -> None:
    """Serve until Ctrl-C or a signal, and say where."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in SIGNALS}
    try:
        with server:
            forward = f"{server.port}:127.0.0.1:{server.port}"
            print(
                f"open {server.url}\n"
                f"  from another machine, first: ssh -L {forward} THIS-MACHINE\n"
                "  every rating is saved at once; Ctrl-C ends",
                flush=True,
            )
            ended.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
