"""The trusted side of a sandbox: starts isolated programs, and ends them."""

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
from eval.sandbox.channel import MAX_REPLY, Channel, DeadlineError, EndedError
from eval.sandbox.fork_server import BEGIN, END
from eval.sandbox.isolation.report import IsolationReport
from eval.sandbox.program import ProgramLimits
from eval.sandbox.verdict import Outcome, ProgramVerdict
from pacos.errors import UserError

ROOT = Path(__file__).parents[2]
"""Folder of the packages."""

SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom"),
)
"""Paths that Python reads besides its own tree."""

START_SECONDS = 60.0
"""Time limit for putting the isolation layers up. That takes milliseconds, and 0.2 s for the first
program, which starts the interpreter; a busy machine gets its time."""


class SandboxError(UserError):
    """Generated code cannot be run under the requested isolation."""


class Sandbox:
    """Runs programs one after another, each in a fork of one clean interpreter.

    Raises:
        SandboxError: this machine cannot isolate programs, and the config insists on it.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._control, server_side = socket.socketpair()
        # The path is removed again before any program runs: pacos itself is not importable there.
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            "from eval.sandbox.fork_server import main; del sys.path[0]; main()"
        )
        # -S: no start-up code of installed packages (.pth files); -P: nothing is imported from the
        # current folder; -B: no bytecode is written.
        command = [sys.executable, "-S", "-P", "-B", "-c", code, str(server_side.fileno())]
        self._server = subprocess.Popen(
            [*command, json.dumps(asdict(_limits(config)))],
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
        """End the fork server and everything it has started."""
        self._control.close()
        self._server.kill()
        self._server.wait()
        assert self._server.stderr is not None
        self._server.stderr.close()

    @contextmanager
    def candidate(self, program: str, entry_point: str) -> Iterator[Candidate]:
        """Run a program; leaving the block ends it and everything it started or wrote.

        Args:
            program: Python source.
            entry_point: name of its function.
        """
        socket_here = self._begin()
        try:
            deadline = time.monotonic() + START_SECONDS
            channel = Channel(socket_here.fileno(), MAX_REPLY, deadline)
            # The process reports its layers before it receives the program. A layer that fails
            # later in the run, say for want of memory, must not pass unnoticed.
            if self._layers(channel) != self.isolation:
                raise SandboxError("the isolation of generated code changed during the run")
            # The time limit is the program's alone; setting the isolation up does not count.
            channel.deadline = time.monotonic() + self._config.timeout_seconds
            candidate = Candidate(channel)
            candidate.load(program, entry_point)
            yield candidate
        finally:
            socket_here.close()
            exit_status = self._end()
        if candidate.end is not None and candidate.end.outcome is Outcome.ended:
            candidate.end = ProgramVerdict(Outcome.ended, exit_status)

    def _probe(self) -> IsolationReport:
        """Put the layers up once without a program, and return which of them are in force."""
        try:
            with self._begin() as socket_here:
                deadline = time.monotonic() + START_SECONDS
                isolation = self._layers(Channel(socket_here.fileno(), MAX_REPLY, deadline))
            self._end()
            if not isolation.is_sufficient and not self._config.run_without_isolation:
                raise SandboxError(
                    "generated code cannot be isolated on this machine "
                    f"({'; '.join(isolation.missing())}); evaluate on another machine, or set "
                    "humaneval.sandbox.run_without_isolation=true to run the code with all your "
                    "rights"
                )
        except SandboxError:
            self.close()
            raise
        return isolation

    def _begin(self) -> socket.socket:
        """Start a process for a program, and return this side of its channel."""
        socket_here, socket_there = socket.socketpair()
        with socket_there:
            try:
                socket.send_fds(self._control, [BEGIN], [socket_there.fileno()])
            except OSError as error:
                raise self._server_lost() from error
        return socket_here

    def _layers(self, channel: Channel) -> IsolationReport:
        """Return the report of a process that does not have its program yet."""
        try:
            return IsolationReport(channel.receive()["layers"])
        except (EndedError, DeadlineError) as error:
            raise self._server_lost() from error

    def _end(self) -> str:
        """End the program, and return its signal or exit code."""
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
        stderr = b"" if self._server.stderr.closed else self._server.stderr.read()
        lines = stderr.decode(errors="replace").strip().splitlines()
        self.close()
        return SandboxError(
            f"the sandbox does not answer: {lines[-1] if lines else 'its process has ended'}"
        )


def _limits(config: SandboxConfig) -> ProgramLimits:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = list(dict.fromkeys(paths[2:]))
    return ProgramLimits(
        isolated=not config.run_without_isolation,
        memory=config.memory_mib << 20,
        disk_mib=config.disk_mib,
        # One second above the wall time, so that a busy loop is reported as timed out and not as
        # killed. The CPU limit is for the case that the trusted side fails to end the program.
        seconds=math.ceil(config.timeout_seconds) + 1,
        # In a virtual environment the standard library's shared objects are below base_prefix.
        readable=[*SYSTEM, *dict.fromkeys(paths), f"{sys.base_prefix}/lib"],
        modules=packages,
    )


def _environment() -> dict[str, str]:
    """Return the server's environment, without any of the user's variables and secrets.

    A fixed hash seed gives sets the same order in every life. A Python from an environment module
    may find its own shared libraries by LD_LIBRARY_PATH only.
    """
    libraries = os.environ.get("LD_LIBRARY_PATH")
    variables = {"PYTHONHASHSEED": "0"}
    return variables if libraries is None else {**variables, "LD_LIBRARY_PATH": libraries}
