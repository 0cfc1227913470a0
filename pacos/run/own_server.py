"""A model server that a run starts on its machine, and ends with itself."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pacos.errors import UserError
from pacos.rank import end_with_parent
from pacos.run.stop import StopCheck

log = logging.getLogger("pacos.run.own_server")

POLL_SECONDS = 1.0
"""Interval between checks whether the server answers."""
GRACE_SECONDS = 30.0
"""Time for the server to end after SIGTERM, before SIGKILL."""
LINES_SHOWN = 8
"""Lines of the server's log in the message about a server that ended."""
LAUNCHER_VARIABLES = re.compile(
    r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)$|ROLE_NAME$|MASTER_(ADDR|PORT)$|TORCHELASTIC_|ACCELERATE_"
)
"""Variables that torchrun and accelerate set for ranks."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server with OpenAI's API."""

    key: str
    """Config key of the command, for messages."""
    command: str
    """Command that runs it, in shell quoting; no shell sees it."""
    url: str
    """Base URL at which it answers."""

    @contextlib.contextmanager
    def running(self, log_file: Path, stop: StopCheck) -> Iterator[None]:
        """Run the server: wait until it answers, and end it when the context closes.

        Args:
            log_file: file that the server's output is appended to.
            stop: checked while the server loads its model, which can take half an hour.

        Raises:
            UserError: the server does not start, or something else already answers at its URL;
                also in place of one from inside the context if the server has ended meanwhile.
            Stopped: a stop was requested.
        """
        if self._answers():
            raise UserError(
                f"{self._setting}: something answers at {self.url} already; set {self.key}=null "
                "to use it, or choose another port in the command and the URL"
            )
        process = self._start(log_file)
        try:
            log.info(f"waiting for {self.url}; the server's log is {log_file}")
            while not self._answers():
                stop.check()
                if process.poll() is not None:
                    raise UserError(self._ended_message(process.returncode, log_file))
                time.sleep(POLL_SECONDS)
            try:
                yield
            except UserError as error:
                if process.poll() is None:
                    raise
                raise UserError(self._ended_message(process.returncode, log_file)) from error
        finally:
            _end(process)

    @property
    def _setting(self) -> str:
        return f"{self.key} = {self.command}"

    def _answers(self) -> bool:
        # Without proxies, which the environment may set for other addresses.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url.rstrip('/')}/models", timeout=10):
                return True
        except urllib.error.HTTPError as error:
            # 401 and 404 are answers too: the server is up.
            return error.code < 500
        except (OSError, http.client.HTTPException):
            return False

    def _start(self, log_file: Path) -> subprocess.Popen[bytes]:
        """Start the server, with the environment of `make setup-vllm` on its PATH."""
        # Last on the PATH: the user's own vllm wins. That one has a virtual environment of its own,
        # because it pins another torch.
        path = f"{os.environ.get('PATH', '')}{os.pathsep}{sys.prefix}-vllm/bin"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        args = shlex.split(self.command)
        try:
            with log_file.open("ab") as out:
                return subprocess.Popen(
                    args,
                    env={**_plain_environment(), "PATH": path},
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
                f"{self._setting}: {args[0]} not found; run make setup-vllm for vLLM, or add its "
                "folder to PATH in slurm/env.sh"
            ) from error

    def _ended_message(self, code: int, log_file: Path) -> str:
        last = log_file.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
        ended = f"{self._setting}: ended with exit code {code}; last lines of {log_file}:"
        return "\n".join([ended, *last])


def _plain_environment() -> dict[str, str]:
    """Return the environment without the variables of a launcher of ranks.

    A server with ranks of its own would look for them in the launcher's group, and hang.
    """
    return {name: value for name, value in os.environ.items() if not LAUNCHER_VARIABLES.match(name)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    # Workers that outlive it, too: they would keep the memory that the next server needs.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
