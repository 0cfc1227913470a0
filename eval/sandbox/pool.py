"""A pool of workers, one per CPU, that test programs concurrently."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from eval.configs.sandbox import SandboxConfig
from eval.sandbox import worker
from eval.sandbox.isolation.report import IsolationReport
from eval.sandbox.sandbox import ROOT, SandboxError
from eval.sandbox.verdict import Outcome, ProgramVerdict
from pacos.benchmarks.items import CodeProblem

Submission = tuple[CodeProblem, str]
"""A problem, and a program that is to solve it."""

WORKER_LOST = ProgramVerdict(
    Outcome.timed_out, "a test took too much time or memory over the program's result"
)


class Pool:
    """Workers with a sandbox each.

    Raises:
        SandboxError: this machine cannot isolate programs, and the config insists on it.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._workers: list[_Worker] = []
        try:
            # All processes are started before the first is waited for.
            for _ in range(config.workers or len(os.sched_getaffinity(0))):
                self._workers.append(_Worker(config))
            self.isolation = self._workers[0].started()
            for other in self._workers[1:]:
                other.started()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers and the programs that they run."""
        for one in self._workers:
            one.close()

    def test(self, submissions: Sequence[Submission]) -> Iterator[tuple[int, ProgramVerdict]]:
        """Test programs, and yield each one's index and verdict as it ends."""
        left = iter(range(len(submissions)))
        busy: dict[_Worker, int] = {}
        idle = list(self._workers)
        while True:
            # zip advances `idle` first: the other way round, it would take an index from `left`
            # before it found that there is no worker for it, and lose that index.
            for one, index in zip(idle, left, strict=False):
                one.send(worker.task_line(*submissions[index]))
                busy[one] = index
            if not busy:
                return
            idle = []
            for one in _answering(busy):
                index, answer = busy.pop(one), one.receive()
                idle.append(one if answer else self._replaced(one))
                yield index, _verdict(answer) if answer else WORKER_LOST

    def _replaced(self, lost: _Worker) -> _Worker:
        lost.close()
        new = _Worker(self._config)
        self._workers[self._workers.index(lost)] = new
        new.started()
        return new


def _answering(workers: Iterable[_Worker]) -> list[_Worker]:
    """Wait for at least one worker that has answered or ended, and return all such."""
    poll = select.poll()
    by_descriptor = {one.fileno(): one for one in workers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll()]


def _verdict(answer: dict[str, str]) -> ProgramVerdict:
    if "error" in answer:
        raise SandboxError(answer["error"])
    return ProgramVerdict(Outcome[answer["outcome"]], answer["detail"])


class _Worker:
    """A worker process and its pipes."""

    def __init__(self, config: SandboxConfig) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            "from eval.sandbox.worker import main; sys.exit(main())"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A session of its own: Ctrl-C reaches this process only, which then ends the workers.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.send(worker.first_line(config))

    def fileno(self) -> int:
        return self._answers.fileno()

    def started(self) -> IsolationReport:
        """Wait until its sandbox is up, and return the layers in force."""
        answer = self.receive()
        if answer is None or "error" in answer:
            raise SandboxError(
                "a worker of the sandbox ended" if answer is None else answer["error"]
            )
        return IsolationReport(answer["isolation"])

    def send(self, line: str) -> None:
        self._requests.write(line)
        self._requests.flush()

    def receive(self) -> Any:
        """Return its next answer; None if it has ended."""
        line = self._answers.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
