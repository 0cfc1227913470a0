"""From a candidate to a verdict: filters, novelty, benchmarks; and an LLM's opinion if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pacos.benchmarks.catalogue import read_benchmarks
from pacos.contamination.index import ContaminationIndex
from selfinstruct.config import SelfInstructConfig
from selfinstruct.parse import Candidate
from selfinstruct.pool.pool import Pool
from selfinstruct.screening.rules import FORMS, Verdict, judge, judge_instances, judge_instruction

LEAK = "gives away a benchmark item"
TOO_MANY = "more instances than are kept"


class Judge:
    """Judges what a teacher wrote, in the order in which it came."""

    def __init__(self, config: SelfInstructConfig, pool: Pool) -> None:
        """Read the benchmarks of the config's suite.

        Raises:
            UserError: the files of a benchmark cannot be read.
        """
        self._method = config.method
        self._filters = config.filters
        self._forms = FORMS[config.method.filters.value]
        self._pool = pool
        items = read_benchmarks(config.suite.benchmarks, config.suite.data_folder())
        self._benchmarks = ContaminationIndex(items)

    def new(self, candidate: Candidate, lang: str) -> Verdict:
        """Whether a task, or an instruction that has no instances yet, is sound and new."""
        form, novelty = self._forms[lang], self._pool.novelty
        if self._method.has_one_step:
            verdict = judge(candidate, self._filters, novelty, form)
        else:
            verdict = judge_instruction(candidate, self._filters, novelty, form)
        return self._with_benchmarks(candidate, verdict)

    def instances(self, candidates: Sequence[Candidate], lang: str) -> list[Verdict]:
        """Which instances of an instruction become rows; one step has judged them before."""
        if self._method.has_one_step:
            return [Verdict(None) for _ in candidates]
        verdicts = judge_instances(candidates, self._filters, self._forms[lang])
        kept = 0
        for at, candidate in enumerate(candidates):
            verdicts[at] = self._with_benchmarks(candidate, verdicts[at])
            kept += verdicts[at].reason is None
            if verdicts[at].reason is None and kept > self._method.max_instances:
                verdicts[at] = replace(verdicts[at], reason=TOO_MANY)
        return verdicts

    def _with_benchmarks(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        """No money is spent on what gives a benchmark item away, and nothing is trained on it."""
        overlap = None if verdict.reason else self._benchmarks.match(candidate)
        return replace(verdict, reason=LEAK, overlap=overlap) if overlap else verdict
