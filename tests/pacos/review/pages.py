"""Items to look at, and a headless browser that looks at them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from pacos.review.items import Choice, Drawn, Question, ReviewItem

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

SCORES = tuple(Choice(float(n), str(n), str(n)) for n in range(1, 6))
CLARITY = Question("clarity", "Clarity: is it clear?", SCORES)
WARMTH = Question("warmth", "Warmth: is it warm?", SCORES)
VERDICT = Question(
    "row",
    "가르칠 만합니까?",
    (Choice("approved", "승인", "a"), Choice("rejected", "거절", "r", asks_reason=True)),
)
ITEMS = [
    ReviewItem(
        "first",
        Drawn.chosen,
        "en",
        (("Request", "Say <b>hi</b>."), ("Answer", "Hi!")),
        (CLARITY, WARMTH),
    ),
    ReviewItem(
        "second", Drawn.random, "en", (("Request", "Say no."), ("Answer", "No.")), (CLARITY,)
    ),
    ReviewItem(
        "third",
        Drawn.random,
        "ko",
        (("지시", "인사해 주세요."), ("출력", "안녕하세요.")),
        (VERDICT,),
    ),
]

KEYS = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}


class Page:
    """One page in a headless Chromium, driven over its DevTools socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0

    async def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json(timeout=60)
            if said.get("id") == self._sent:
                assert "error" not in said, said
                return dict(said["result"])

    async def open(self, url: str) -> None:
        await self._do("Page.enable")
        await self._do("Page.navigate", url=url)
        await self.until("document.querySelector('section') !== null")

    async def value(self, expression: str) -> Any:
        found = await self._do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(600):
            if await self.value(expression):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never came true: {expression}; {await self.text()}")

    async def text(self) -> str:
        return str(await self.value("document.body.innerText"))

    async def press(self, key: str) -> None:
        """Press a key, as a person does."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {}
        await self._do("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **code)
        await self._do("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    async def type(self, text: str) -> None:
        await self._do("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element."""
        box = json.loads(
            await self.value(
                "JSON.stringify((one => (one.scrollIntoView(), one.getBoundingClientRect()))"
                f"(document.querySelector({selector!r})))"
            )
        )
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            await self._do(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place
            )


@asynccontextmanager
async def browser(language: str = "en") -> AsyncIterator[Page]:
    """A Chromium without a window, and its page."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--accept-lang={language}",
        ]
        command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = await _port(Path(folder) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                listed = f"http://127.0.0.1:{port}/json/list"
                async with session.get(listed) as reply:
                    pages = [one for one in await reply.json() if one["type"] == "page"]
                address = pages[0]["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            process.wait(30)


async def _port(file: Path) -> str:
    for _ in range(1200):
        if file.exists() and (lines := file.read_text().splitlines()):
            return lines[0]
        await asyncio.sleep(0.05)
    raise AssertionError("chromium did not start")
