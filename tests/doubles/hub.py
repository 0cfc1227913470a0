"""A hub on the loopback: repositories with their files, gates, broken connections, uploads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?/?(.*)"
)
PUSH = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main")
LFS = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
STORE = re.compile(r"/store/([0-9a-f]{64})")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """One repository, at one commit."""

    files: dict[str, bytes]
    private: bool = False
    gated: bool = False
    """Only those with `granted` as token get its files."""
    cuts: dict[str, int] = field(default_factory=dict)
    """File to bytes after which its next answer breaks off."""
    stalls: set[str] = field(default_factory=set)
    """Files whose answers never come."""

    @property
    def sha(self) -> str:
        content = json.dumps({name: digest(data) for name, data in self.files.items()})
        return hashlib.sha1(content.encode()).hexdigest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Hub(ThreadingHTTPServer):
    """Serves models and data sets by their ids."""

    daemon_threads = True

    def __init__(
        self, models: Mapping[str, Repository], datasets: Mapping[str, Repository]
    ) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.models, self.datasets = dict(models), dict(datasets)
        self.granted = "hf_granted"
        self.stalled, self.ended = threading.Event(), threading.Event()
        self.asked: list[tuple[str, str, str | None]] = []
        """Method, path and range of every request."""
        self.stored: dict[str, bytes] = {}
        """Large files that were uploaded, by their digest, committed or not."""
        self.refuses_after: int | None = None
        """Number of large files after which uploads fail; None refuses none."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files_sent(self) -> list[str]:
        """Names of files whose content was asked for, in order."""
        matches = [
            FILE.fullmatch(urlsplit(path).path) for method, path, _ in self.asked if method == "GET"
        ]
        return [unquote(match[4]) for match in matches if match]


@contextmanager
def serve(
    models: Mapping[str, Repository] | None = None,
    datasets: Mapping[str, Repository] | None = None,
) -> Iterator[Hub]:
    hub = Hub(models or {}, datasets or {})
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        path = unquote(urlsplit(self.path).path)
        file, api = FILE.fullmatch(path), API.fullmatch(path)
        if path == "/api/repos/create" or PUSH.fullmatch(path) or LFS.fullmatch(path):
            self._receive(path, body)
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif stored := STORE.fullmatch(path):
            self._store(stored[1], body)
        elif file:
            self._file(file)
        elif api:
            self._describe(api, body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _find(self, kind: str, name: str, revision: str | None) -> Repository | None:
        """The repository at a revision; answers itself where there is none."""
        found = (self.server.datasets if kind == "datasets" else self.server.models).get(name)
        if found is None:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", found.sha):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return found

    def _describe(self, asked: re.Match[str], body: bytes) -> None:
        kind, name, what, revision, _ = asked.groups()
        repository = self._find(kind, name, revision)
        if repository is None:
            return
        if what in (None, "revision"):
            siblings = [
                {"rfilename": file, "size": len(data)} for file, data in repository.files.items()
            ]
            facts = {
                "_id": "0",
                "id": name,
                "sha": repository.sha,
                "siblings": siblings,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "lastModified": "2026-01-01T00:00:00.000Z",
            }
            self._json(facts)
            return
        wanted = set(json.loads(body or b"{}").get("paths", [])) if what == "paths-info" else None
        self._json(
            [
                {
                    "type": "file",
                    "path": file,
                    "size": len(data),
                    "oid": digest(data)[:40],
                    "lfs": {"oid": digest(data), "size": len(data), "pointerSize": 100},
                }
                for file, data in repository.files.items()
                if wanted is None or file in wanted
            ]
        )

    def _receive(self, path: str, body: bytes) -> None:
        """A step of an upload, of an account that may write."""
        hub = self.server
        if self.headers.get("Authorization") != f"Bearer {hub.granted}":
            self._send(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            code = 409 if name in hub.models else 200
            hub.models.setdefault(name, Repository({}, private=asked["visibility"] == "private"))
            answer = json.dumps({"url": f"{hub.url}/{name}", "name": name})
            self._send(code, answer.encode(), {"Content-Type": "application/json"})
        elif LFS.fullmatch(path):
            objects = json.loads(body)["objects"]
            for each in objects:
                if each["oid"] not in hub.stored:
                    each["actions"] = {"upload": {"href": f"{hub.url}/store/{each['oid']}"}}
            self._json({"transfer": "basic", "objects": objects})
        elif path.endswith("/preupload/main"):
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            self._json({"files": modes})
        else:
            name = PUSH.fullmatch(path)[1]  # type: ignore[index]  # the caller has matched it
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.models[name].files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.models[name].files[value["path"]] = hub.stored[value["oid"]]
            sha = hub.models[name].sha
            self._json({"commitUrl": f"{hub.url}/{name}/commit/{sha}", "commitOid": sha})

    def _store(self, oid: str, body: bytes) -> None:
        hub = self.server
        if hub.refuses_after is not None and len(hub.stored) >= hub.refuses_after:
            self._send(403, b"", {})
            return
        hub.stored[oid] = body
        self._send(200, b"", {})

    def _file(self, asked: re.Match[str]) -> None:
        kind, name, revision, file = asked.groups()
        repository = self._find("datasets" if kind else "models", name, revision)
        if repository is None:
            return
        if (
            repository.gated
            and self.headers.get("Authorization") != f"Bearer {self.server.granted}"
        ):
            code = 403 if self.headers.get("Authorization") else 401
            self._send(code, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"})
            return
        data = repository.files.get(file)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.sha})
            return
        headers = {
            "ETag": f'"{digest(data)}"',
            "X-Linked-Etag": f'"{digest(data)}"',
            "X-Linked-Size": str(len(data)),
            "X-Repo-Commit": repository.sha,
            "Accept-Ranges": "bytes",
        }
        if asked_range := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            begin = int(asked_range[1])
            end = int(asked_range[2] or len(data) - 1) + 1
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            data = data[begin:end]
        if file in repository.stalls and self.command == "GET":
            self.server.stalled.set()
            self.server.ended.wait()
            return
        code = 206 if asked_range else 200
        cut = repository.cuts.pop(file, None) if self.command == "GET" else None
        self._send(code, data, headers, cut)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self, code: int, data: bytes, headers: Mapping[str, str], cut: int | None = None
    ) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True
