"""Workers that test programs at the same time, one a CPU."""

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
from eval.sandbox.box import ROOT, SandboxError
from eval.sandbox.isolation import Isolation
from eval.sandbox.verdict import Outcome, Verdict
from pacos.benchmarks.items import CodeProblem

Task = tuple[CodeProblem, str]
"""A problem, and a program that is to solve it."""

WORKER_LOST = Verdict(Outcome.timed_out, "a test needed too much time or memory for the answer")


class Pool:
    """Workers, each with a sandbox of its own.

    Raises:
        SandboxError: this machine cannot isolate, and the config does not do without.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._workers: list[_Worker] = []
        try:
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
        """End all workers and what they run."""
        for one in self._workers:
            one.close()

    def test(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Verdict]]:
        """Test programs; yields the place of each among the tasks, and its verdict, as they end."""
        left = iter(range(len(tasks)))
        at_work: dict[_Worker, int] = {}
        idle = list(self._workers)
        while True:
            # In this order, so that no number is drawn without a worker to give it to.
            for one, number in zip(idle, left, strict=False):
                one.send(worker.task_line(*tasks[number]))
                at_work[one] = number
            if not at_work:
                return
            idle = []
            for one in _answering(at_work):
                number, answer = at_work.pop(one), one.receive()
                idle.append(one if answer else self._replaced(one))
                yield number, _verdict(answer) if answer else WORKER_LOST

    def _replaced(self, lost: _Worker) -> _Worker:
        lost.close()
        new = _Worker(self._config)
        self._workers[self._workers.index(lost)] = new
        new.started()
        return new


def _answering(workers: Iterable[_Worker]) -> list[_Worker]:
    """Those that have answered, or ended; waits for the first."""
    poll = select.poll()
    by_descriptor = {one.fileno(): one for one in workers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll()]


def _verdict(answer: dict[str, str]) -> Verdict:
    if "error" in answer:
        raise SandboxError(answer["error"])
    return Verdict(Outcome[answer["outcome"]], answer["detail"])


class _Worker:
    """A worker process, with its pipes."""

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
            # Ctrl-C is for us, who then end the workers.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self.send(worker.first_line(config))

    def fileno(self) -> int:
        return self._answers.fileno()

    def started(self) -> Isolation:
        """Wait until its sandbox stands."""
        answer = self.receive()
        if answer is None or "error" in answer:
            raise SandboxError(
                "a worker of the sandbox ended" if answer is None else answer["error"]
            )
        return Isolation(answer["isolation"])

    def send(self, line: str) -> None:
        self._questions.write(line)
        self._questions.flush()

    def receive(self) -> Any:
        """Its next answer; None if it ended."""
        line = self._answers.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
