"""A server of the teacher's own, beside the run for as long as the run needs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp

from pacos.errors import UserError
from pacos.rank import end_with_parent
from pacos.run.stop import StopRequest
from selfinstruct.configs.generator import GeneratorConfig

log = logging.getLogger("selfinstruct.generators.own_server")

POLL_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""For a server to end by itself."""
LINES_SHOWN = 8


@contextlib.asynccontextmanager
async def serving(config: GeneratorConfig, said: Path, stop: StopRequest) -> AsyncIterator[None]:
    """Have `generator.serve` answer at the endpoint's URL; without such a command do nothing.

    Args:
        config: of the teacher.
        said: file that takes what the server says.
        stop: asked while the server loads its model, which can take half an hour.

    Raises:
        UserError: it does not come up, or something else answers there already.
        Stopped: somebody asked for it.
    """
    if config.serve is None or config.endpoint is None:
        yield
        return
    url = config.endpoint.url
    if await _answers(url):
        raise UserError(
            f"generator.serve = {config.serve}: something answers at {url} already; set "
            "generator.serve=null to ask that, or use another port in both"
        )
    server = _start(config.serve, said)
    try:
        log.info(f"waiting for {url}; {said} shows how far it is")
        while not await _answers(url):
            stop.check()
            if server.poll() is not None:
                raise UserError(_ended(config.serve, server.returncode, said))
            await asyncio.sleep(POLL_SECONDS)
        yield
    finally:
        await asyncio.to_thread(_end, server)


async def _answers(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(f"{url.rstrip('/')}/models") as response,
        ):
            return response.status < 500
    except (OSError, aiohttp.ClientError, TimeoutError):
        return False


def _start(command: str, said: Path) -> subprocess.Popen[bytes]:
    """Start it in a session of its own; what `make setup-vllm` installed is found too."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}{sys.prefix}-vllm/bin"
    said.parent.mkdir(parents=True, exist_ok=True)
    words = shlex.split(command)
    try:
        with said.open("ab") as out:
            return subprocess.Popen(
                words,
                env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, signal.SIGTERM),
            )
    except FileNotFoundError as error:
        raise UserError(
            f"generator.serve = {command}: no {words[0]} here; make setup-vllm installs vLLM, or "
            "add its folder to PATH in slurm/env.sh"
        ) from error


def _ended(command: str, code: int, said: Path) -> str:
    last = said.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
    return f"generator.serve = {command}: ended with {code}; {said} ends with:\n" + "\n".join(last)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_SECONDS)
            return
