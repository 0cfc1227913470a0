"""A model server that the run starts for its generator, and ends with itself."""

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
"""Interval between checks whether the server answers."""
GRACE_SECONDS = 30.0
"""Time for the server to end after SIGTERM, before SIGKILL."""
LINES_SHOWN = 8
"""Lines of the server's log in the message about a server that ended."""


@contextlib.asynccontextmanager
async def serving(
    config: GeneratorConfig, log_file: Path, stop: StopRequest
) -> AsyncIterator[None]:
    """Run `generator.serve` until the endpoint answers, and while the context is open.

    Does nothing without such a command.

    Args:
        config: the generator.
        log_file: file for the server's output.
        stop: checked while the server loads its model, which can take half an hour.

    Raises:
        UserError: the server does not start, or something else already answers at its URL.
        Stopped: a stop was requested.
    """
    if config.serve is None or config.endpoint is None:
        yield
        return
    url = config.endpoint.url
    if await _answers(url):
        raise UserError(
            f"generator.serve = {config.serve}: something answers at {url} already; set "
            "generator.serve=null to use it, or change the port in generator.serve and "
            "generator.endpoint.url"
        )
    server = _start(config.serve, log_file)
    try:
        log.info(f"waiting for {url}; the server's log is {log_file}")
        while not await _answers(url):
            stop.check()
            if server.poll() is not None:
                raise UserError(_ended_message(config.serve, server.returncode, log_file))
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
            # 401 and 404 are answers too: the server is up.
            return response.status < 500
    except (OSError, aiohttp.ClientError, TimeoutError):
        return False


def _start(command: str, log_file: Path) -> subprocess.Popen[bytes]:
    """Start the server, with the environment of `make setup-vllm` on its PATH."""
    # Last on the PATH: the user's own vllm wins. That one has a virtual environment of its own,
    # because it pins another torch.
    path = f"{os.environ.get('PATH', '')}{os.pathsep}{sys.prefix}-vllm/bin"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    args = shlex.split(command)
    try:
        with log_file.open("ab") as out:
            return subprocess.Popen(
                args,
                env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # A process group of its own, so that `_end` reaches its workers too.
                start_new_session=True,
                # Also when this process is killed: a forgotten vLLM would keep the GPUs.
                preexec_fn=partial(end_with_parent, signal.SIGTERM),
            )
    except FileNotFoundError as error:
        raise UserError(
            f"generator.serve = {command}: {args[0]} not found; run make setup-vllm for vLLM, or "
            "add its folder to PATH in slurm/env.sh"
        ) from error


def _ended_message(command: str, code: int, log_file: Path) -> str:
    last = log_file.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
    ended = f"generator.serve = {command}: ended with exit code {code}; last lines of {log_file}:"
    return "\n".join([ended, *last])


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and every process it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_SECONDS)
            return
