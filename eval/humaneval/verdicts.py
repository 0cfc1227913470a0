"""Verdicts on programs, each on disk as soon as it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.isolation.report import IsolationReport
from eval.sandbox.pool import Pool, Submission
from eval.sandbox.verdict import Outcome, ProgramVerdict
from pacos.benchmarks.items import CodeProblem
from pacos.console import progress
from pacos.errors import UserError
from pacos.files import append_jsonl, read_jsonl

SHOWN = 5
"""Failed problems that a message lists."""

WRITE_EVERY = 32
"""Verdicts written at a time: the most that a kill can cost. Each write is an fsync, which takes
longer than a typical program."""


def check_references(problems: Sequence[CodeProblem], config: SandboxConfig) -> None:
    """Check that this machine can grade: every problem's own solution has to pass its tests.

    Raises:
        UserError: some do not, so a model's failures would prove nothing.
        SandboxError: programs cannot be isolated here.
    """
    submissions = [(problem, problem.prompt + problem.solution) for problem in problems]
    with Pool(config) as pool:
        verdicts = dict(pool.test(submissions))
    failed = [
        f"  {problem.id}: {verdicts[index]}"
        for index, problem in enumerate(problems)
        if not verdicts[index].passed
    ]
    if failed:
        more = [f"  and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
        raise UserError(
            f"the reference solutions of {len(failed)} of {len(problems)} problems do not pass "
            "their own tests, so answers cannot be graded; repair the file, or raise "
            "humaneval.sandbox.timeout_seconds or memory_mib:\n" + "\n".join(failed[:SHOWN] + more)
        )


class VerdictFile:
    """An append-only file of verdicts, each under the digest of its program and tests.

    Args:
        path: the file; a torn last line is ignored.
        config: limits of the programs.
    """

    def __init__(self, path: Path, config: SandboxConfig) -> None:
        self._path, self._config = path, config
        self._known: dict[str, ProgramVerdict] = {}
        self._lives: list[IsolationReport] = []
        for record in read_jsonl(path):
            # Each life writes one record of its isolation before its verdicts.
            if "layers" in record:
                self._lives.append(IsolationReport(record["layers"]))
            else:
                verdict = ProgramVerdict(Outcome[record["outcome"]], record["detail"])
                self._known[record["key"]] = verdict

    @property
    def isolation(self) -> IsolationReport:
        """The isolation of all verdicts: a layer that one life lacked is missing as a whole.

        A layer in force is the empty string, so the longest text is the reason of a life without.
        """
        names = dict.fromkeys(name for life in self._lives for name in life.layers)
        reasons = {
            name: [life.layers.get(name, "not tried") for life in self._lives] for name in names
        }
        return IsolationReport({name: max(texts, key=len) for name, texts in reasons.items()})

    def grade(self, submissions: Sequence[Submission]) -> list[ProgramVerdict]:
        """Return the verdict on each program, running those that have none yet."""
        keys = [_key(*submission) for submission in submissions]
        left = {
            key: submission
            for key, submission in zip(keys, submissions, strict=True)
            if key not in self._known
        }
        with Pool(self._config) as pool:
            self._lives.append(pool.isolation)
            append_jsonl(self._path, [{"layers": dict(pool.isolation.layers)}])
            self._run(pool, left)
        return [self._known[key] for key in keys]

    def _run(self, pool: Pool, left: dict[str, Submission]) -> None:
        keys = list(left)
        unwritten: dict[str, ProgramVerdict] = {}
        # Verdicts arrive in the order in which programs end, so each is kept under its own key.
        with progress("running programs", len(left), "programs") as counter:
            for index, verdict in pool.test(list(left.values())):
                unwritten[keys[index]] = verdict
                counter.advance()
                if len(unwritten) == WRITE_EVERY:
                    self._write(unwritten)
                    unwritten = {}
        self._write(unwritten)

    def _write(self, verdicts: dict[str, ProgramVerdict]) -> None:
        records = [
            {"key": key, "outcome": verdict.outcome.name, "detail": verdict.detail}
            for key, verdict in verdicts.items()
        ]
        append_jsonl(self._path, records)
        self._known |= verdicts


def _key(problem: CodeProblem, program: str) -> str:
    """Return the digest of everything that decides a verdict: equal programs are run once."""
    # Byte-level tokenizers can produce lone surrogates, which UTF-8 cannot encode.
    parts = (problem.prompt, problem.tests, problem.entry_point, program)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
