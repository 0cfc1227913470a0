"""The trusted side: begins programs behind the walls, and ends them."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.candidate import Candidate
from eval.sandbox.channel import MAX_REPLY, Channel, EndedError, LateError
from eval.sandbox.isolation import Isolation
from eval.sandbox.program import Plan
from eval.sandbox.server import BEGIN, END
from eval.sandbox.verdict import Outcome, Verdict
from pacos.errors import UserError

ROOT = Path(__file__).parents[2]
"""Folder of the packages."""

SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom"),
)
"""What Python reads besides its own tree."""

START_SECONDS = 60.0
"""For walls to stand; it takes milliseconds, and 0.2 s for the first program."""


class SandboxError(UserError):
    """Generated code cannot be run in the way that was asked for."""


class Sandbox:
    """Runs programs one after the other, each in a copy of one fork server.

    Raises:
        SandboxError: this machine cannot isolate, and the config does not do without.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._control, server_side = socket.socketpair()
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            "from eval.sandbox.server import main; del sys.path[0]; main()"
        )
        # -S, -P: neither site packages' own start-up code nor the current folder.
        command = [sys.executable, "-S", "-P", "-B", "-c", code, str(server_side.fileno())]
        self._server = subprocess.Popen(
            [*command, json.dumps(asdict(_plan(config)))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[server_side.fileno()],
            env=_environment(),
            cwd="/",
        )
        server_side.close()
        self.isolation = self._probe()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and with it all that it began."""
        self._control.close()
        self._server.kill()
        self._server.wait()
        assert self._server.stderr is not None
        self._server.stderr.close()

    @contextmanager
    def candidate(self, program: str, entry_point: str) -> Iterator[Candidate]:
        """Run a program; when the block is left it is ended, and nothing of it is left.

        Args:
            program: Python source.
            entry_point: name of its function.
        """
        here = self._begin()
        try:
            deadline = time.monotonic() + START_SECONDS
            channel = Channel(here.fileno(), MAX_REPLY, deadline)
            if self._layers(channel) != self.isolation:
                raise SandboxError("the isolation of generated code changed while it was in use")
            channel.deadline = time.monotonic() + self._config.timeout_seconds
            candidate = Candidate(channel)
            candidate.load(program, entry_point)
            yield candidate
        finally:
            here.close()
            how = self._end()
        if candidate.end is not None and candidate.end.outcome is Outcome.ended:
            candidate.end = Verdict(Outcome.ended, how)

    def _probe(self) -> Isolation:
        """Put up the walls once, without a program, and see which of them stand."""
        try:
            with self._begin() as here:
                deadline = time.monotonic() + START_SECONDS
                isolation = self._layers(Channel(here.fileno(), MAX_REPLY, deadline))
            self._end()
            if not isolation.holds and not self._config.run_without_isolation:
                raise SandboxError(
                    "generated code cannot be isolated on this machine "
                    f"({'; '.join(isolation.missing())}): evaluate where it can, or say "
                    "run_without_isolation=true to run it with all your rights"
                )
        except SandboxError:
            self.close()
            raise
        return isolation

    def _begin(self) -> socket.socket:
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._control, [BEGIN], [there.fileno()])
            except OSError as error:
                raise self._server_lost() from error
        return here

    def _layers(self, channel: Channel) -> Isolation:
        """What the process of the program says of itself before it has the program."""
        try:
            return Isolation(channel.receive()["layers"])
        except (EndedError, LateError) as error:
            raise self._server_lost() from error

    def _end(self) -> str:
        """End the program; returns how it ended."""
        try:
            self._control.send(END)
            status = int(self._control.recv(64))
        except (OSError, ValueError) as error:
            raise self._server_lost() from error
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        return f"exit code {os.waitstatus_to_exitcode(status)}"

    def _server_lost(self) -> SandboxError:
        self._server.kill()
        assert self._server.stderr is not None
        said = b"" if self._server.stderr.closed else self._server.stderr.read()
        lines = said.decode(errors="replace").strip().splitlines()
        self.close()
        return SandboxError(f"the sandbox does not answer: {lines[-1] if lines else 'it ended'}")


def _plan(config: SandboxConfig) -> Plan:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = list(dict.fromkeys(paths[2:]))
    return Plan(
        isolated=not config.run_without_isolation,
        memory=config.memory_mib << 20,
        disk_mib=config.disk_mib,
        seconds=math.ceil(config.timeout_seconds) + 1,
        readable=[*SYSTEM, *dict.fromkeys(paths), f"{sys.base_prefix}/lib"],
        modules=packages,
    )


def _environment() -> dict[str, str]:
    """The order of sets is the same in each life; a Python from a module may need its libraries."""
    libraries = os.environ.get("LD_LIBRARY_PATH")
    found = {"PYTHONHASHSEED": "0"}
    return found if libraries is None else {**found, "LD_LIBRARY_PATH": libraries}
