"""The screen: filters, novelty against the pool, and leaks of benchmark items, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pacos.benchmarks.catalogue import read_benchmarks
from pacos.contamination.index import ContaminationIndex
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import SelfInstructConfig
from selfinstruct.filters.safety import declined_hazard
from selfinstruct.pool.novelty import NoveltyIndex
from selfinstruct.screening.filter_sets import Filter, FilterSet, filter_set, first_objection
from selfinstruct.screening.verdict import Verdict

# Reasons of rejection, stored in rejected.jsonl.
TOO_SIMILAR = "too similar"
LEAK = "gives away a benchmark item"
CONTRADICTION = "another output for the same input"
REPETITION = "the same instance twice"
TOO_MANY = "more instances than are kept"


class Screen:
    """Judges candidates; novelty depends on the pool, so the order of the calls matters."""

    def __init__(
        self,
        filter_sets: Mapping[str, FilterSet],
        novelty: NoveltyIndex,
        max_similarity: float,
        benchmarks: ContaminationIndex,
    ) -> None:
        """Set up the screen.

        Args:
            filter_sets: the filters by language.
            novelty: the instructions of the pool, which grows between the calls.
            max_similarity: ROUGE-L F above which an instruction is too close to one of the pool.
            benchmarks: the items that no row may give away.
        """
        self._filter_sets = filter_sets
        self._novelty = novelty
        self._max_similarity = max_similarity
        self._benchmarks = benchmarks

    def task(self, candidate: Candidate, lang: str) -> Verdict:
        """Judge a whole task, which becomes a row if it passes."""
        filters = self._filter_sets[lang]
        return self._judge_new(candidate, (*filters.instruction, *filters.instance))

    def instruction(self, candidate: Candidate, lang: str) -> Verdict:
        """Judge an instruction that has no instances yet."""
        return self._judge_new(candidate, self._filter_sets[lang].instruction)

    def instances(self, candidates: Sequence[Candidate], lang: str, at_most: int) -> list[Verdict]:
        """Judge the instances of one accepted instruction, in order; keep at most `at_most`."""
        filters = self._filter_sets[lang].instance
        reasons = [first_objection(candidate, filters) for candidate in candidates]
        _compare_instances(candidates, reasons)
        verdicts, kept = [], 0
        for candidate, reason in zip(candidates, reasons, strict=True):
            verdict = Verdict(reason)
            if reason is None:
                verdict = self._check_leak(candidate, Verdict(None, declined=_declined(candidate)))
            kept += verdict.reason is None
            if verdict.reason is None and kept > at_most:
                verdict = replace(verdict, reason=TOO_MANY)
            verdicts.append(verdict)
        return verdicts

    def _judge_new(self, candidate: Candidate, filters: Sequence[Filter]) -> Verdict:
        # Novelty comes last: a broken candidate is reported as broken, not as a copy.
        reason = first_objection(candidate, filters)
        if reason is not None:
            return Verdict(reason)
        nearest = self._novelty.nearest(candidate.instruction)
        if nearest is not None and nearest.score > self._max_similarity:
            return Verdict(TOO_SIMILAR, nearest)
        return self._check_leak(candidate, Verdict(None, nearest, _declined(candidate)))

    def _check_leak(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        # Before the LLM judge and the remaining steps: no money is spent on a leak.
        overlap = self._benchmarks.match(candidate)
        return verdict if overlap is None else replace(verdict, reason=LEAK, overlap=overlap)


def build_screen(config: SelfInstructConfig, novelty: NoveltyIndex) -> Screen:
    """Build the screen of a config; reads the benchmarks of its suite.

    Raises:
        UserError: the files of a benchmark cannot be read.
    """
    name, filters = config.method.filters, config.filters
    filter_sets = {lang: filter_set(name, lang, filters) for lang in config.languages()}
    items = read_benchmarks(config.suite.benchmarks, config.suite.data_folder())
    return Screen(filter_sets, novelty, filters.max_similarity, ContaminationIndex(items))


def _compare_instances(candidates: Sequence[Candidate], reasons: list[str | None]) -> None:
    """Reject contradictions and repetitions among the instances without a reason, in place.

    If two of them answer the same input differently, all are rejected, since nothing says which one
    is right (Self-Instruct). Instances without an input may differ: there is no conflict then.
    """
    sound = [at for at, reason in enumerate(reasons) if reason is None]
    outputs: dict[str, str] = {}
    contradict = any(
        outputs.setdefault(instance.input, instance.output) != instance.output
        for instance in (candidates[at] for at in sound)
        if instance.input
    )
    seen: set[Candidate] = set()
    for at in sound:
        if contradict:
            reasons[at] = CONTRADICTION
        elif candidates[at] in seen:
            reasons[at] = REPETITION
        seen.add(candidates[at])


def _declined(candidate: Candidate) -> str | None:
    hazard = declined_hazard(candidate)
    return None if hazard is None else hazard.value
