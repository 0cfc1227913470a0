"""From programs to verdicts, each on the disk as soon as it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.isolation import Isolation
from eval.sandbox.pool import Pool, Task
from eval.sandbox.verdict import Outcome, Verdict
from pacos.benchmarks.items import CodeProblem
from pacos.console import progress
from pacos.errors import UserError
from pacos.files import append_jsonl, read_jsonl

SHOWN = 5
"""Problems that a message names."""

KEEP_EVERY = 32
"""Verdicts that are written at a time, and so the most that a kill can cost."""


def check_references(problems: Sequence[CodeProblem], config: SandboxConfig) -> None:
    """See that this machine can judge: each problem's own solution has to pass its tests.

    Raises:
        UserError: some do not, so that a model's failures would say nothing.
        SandboxError: programs cannot be isolated here.
    """
    tasks = [(problem, problem.prompt + problem.solution) for problem in problems]
    with Pool(config) as pool:
        verdicts = dict(pool.test(tasks))
    failed = [
        f"  {problem.id}: {verdicts[number]}"
        for number, problem in enumerate(problems)
        if not verdicts[number].passed
    ]
    if failed:
        more = [f"  and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
        raise UserError(
            f"the reference solutions of {len(failed)} of {len(problems)} problems do not pass "
            "their own tests, so no answer can be judged; put the file right, or raise "
            "humaneval.sandbox.timeout_seconds or memory_mib:\n" + "\n".join(failed[:SHOWN] + more)
        )


class Verdicts:
    """An append-only file of verdicts, each under the digest of its program and tests.

    Args:
        path: the file; a torn last line is no verdict.
        config: how programs are run.
    """

    def __init__(self, path: Path, config: SandboxConfig) -> None:
        self._path, self._config = path, config
        self._known: dict[str, Verdict] = {}
        self._lives: list[Isolation] = []
        for record in read_jsonl(path):
            if "layers" in record:
                self._lives.append(Isolation(record["layers"]))
            else:
                verdict = Verdict(Outcome[record["outcome"]], record["detail"])
                self._known[record["key"]] = verdict

    @property
    def isolation(self) -> Isolation:
        """What stood around all of them: of lives on several machines, what each had."""
        names = dict.fromkeys(name for life in self._lives for name in life.layers)
        reasons = {
            name: [life.layers.get(name, "not tried") for life in self._lives] for name in names
        }
        return Isolation({name: max(found, key=len) for name, found in reasons.items()})

    def of(self, tasks: Sequence[Task]) -> list[Verdict]:
        """The verdict on each program; runs those that have none yet."""
        keys = [_key(*task) for task in tasks]
        left = {key: task for key, task in zip(keys, tasks, strict=True) if key not in self._known}
        with Pool(self._config) as pool:
            self._lives.append(pool.isolation)
            append_jsonl(self._path, [{"layers": dict(pool.isolation.layers)}])
            self._run(pool, left)
        return [self._known[key] for key in keys]

    def _run(self, pool: Pool, left: dict[str, Task]) -> None:
        keys = list(left)
        found: dict[str, Verdict] = {}
        with progress("running programs", len(left), "programs") as counter:
            for number, verdict in pool.test(list(left.values())):
                found[keys[number]] = verdict
                counter.advance()
                if len(found) == KEEP_EVERY:
                    self._keep(found)
                    found = {}
        self._keep(found)

    def _keep(self, found: dict[str, Verdict]) -> None:
        records = [
            {"key": key, "outcome": verdict.outcome.name, "detail": verdict.detail}
            for key, verdict in found.items()
        ]
        append_jsonl(self._path, records)
        self._known |= found


def _key(problem: CodeProblem, program: str) -> str:
    parts = (problem.prompt, problem.tests, problem.entry_point, program)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
