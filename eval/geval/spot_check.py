"""A person's look at a part of what a judge scored: what to show first, and what comes of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from eval.geval.answers import Answer
from eval.geval.findings.agreement import Point, agreements
from eval.geval.findings.figures import OVERALL, WIN_RATE
from eval.geval.findings.people import corrected_mean
from eval.geval.records import BASELINE, TARGET, TIE, WON, Judged, Pair, Scored
from eval.rubrics.rubric import Criterion, Rubric
from pacos.review.items import Choice, Drawn, Item, Question, Rating, queue, woven

MISSING = 10.0
"""Doubt about an answer without a score; that of an unsure judge is at most 1."""
BETTER = "better"
"""Name of the question about a pair."""

ASK_BETTER = {
    "en": ("Which answer is better, by all criteria together?", "neither"),
    "ko": ("기준을 모두 헤아릴 때 어느 답이 더 낫습니까?", "비슷함"),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One model's answer with what the judge gave it."""

    answer: Answer
    model: str
    scores: tuple[Scored, ...]

    @property
    def id(self) -> str:
        return f"{self.model}/{self.answer.rubric}/{self.answer.id}"

    def doubt(self, rubric: Rubric) -> float:
        """How much it is worth a look: scores that are missing, then the judge's variance."""
        doubts = [0.0]
        for one in self.scores:
            variance = one.verdict.variance
            criterion = rubric.criterion(one.criterion)
            # The most that a score can vary is half of the scale.
            most = ((criterion.high - criterion.low) / 2) ** 2
            doubts.append(MISSING if variance is None else variance / most)
        return max(doubts)


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """What one judge said in a run, laid out for a person."""

    suite: str
    seed: int
    rubrics: Mapping[str, Rubric]
    answers: Mapping[str, Sequence[Answer]]
    """By label of the model."""
    judged: Judged

    def judgements(self) -> list[Judgement]:
        """Every answer with its scores."""
        scores: defaultdict[tuple[str, str, str], list[Scored]] = defaultdict(list)
        for one in self.judged.scores:
            scores[one.model, one.rubric, one.id].append(one)
        return [
            Judgement(answer, model, tuple(scores[model, answer.rubric, answer.id]))
            for model, answers in self.answers.items()
            for answer in answers
        ]

    def items(self) -> list[Item]:
        """What the person is shown, the most doubtful first, every second one by chance."""
        answers = queue(
            self.judgements(),
            name=lambda one: one.id,
            doubt=lambda one: one.doubt(self.rubrics[one.answer.rubric]),
            seed=self.seed,
        )
        pairs = queue(self.judged.pairs, name=_pair_id, doubt=_pair_doubt, seed=self.seed)
        return woven(
            [
                [self._answer_item(one, drawn) for one, drawn in answers],
                [self._pair_item(one, drawn) for one, drawn in pairs],
            ]
        )

    def _answer_item(self, one: Judgement, drawn: Drawn) -> Item:
        rubric, answer = self.rubrics[one.answer.rubric], one.answer
        return Item(
            id=one.id,
            drawn=drawn,
            lang=rubric.lang,
            sections=(*_given(rubric, answer), (rubric.output, answer.output)),
            questions=tuple(_question(criterion) for criterion in rubric.criteria),
        )

    def _pair_item(self, pair: Pair, drawn: Drawn) -> Item:
        rubric = self.rubrics[pair.rubric]
        sides = {
            model: next(one for one in self.answers[model] if one.item == (pair.rubric, pair.id))
            for model in (TARGET, BASELINE)
        }
        # Which model is shown first is as good as chance, and the same every time.
        digest = hashlib.sha256(f"{self.seed}/{_pair_id(pair)}".encode()).digest()
        order = (TARGET, BASELINE) if digest[0] % 2 else (BASELINE, TARGET)
        shown = tuple(
            (f"{rubric.output} {number}", sides[model].output)
            for number, model in enumerate(order, 1)
        )
        text, neither = ASK_BETTER[rubric.lang]
        choices = [Choice(model, str(number), str(number)) for number, model in enumerate(order, 1)]
        question = Question(BETTER, text, (*choices, Choice(TIE, neither, "0")))
        return Item(
            id=_pair_id(pair),
            drawn=drawn,
            lang=rubric.lang,
            sections=(*_given(rubric, sides[TARGET]), *shown),
            questions=(question,),
        )

    def findings(self, ratings: Sequence[Rating]) -> dict[str, Any]:
        """What the ratings say of the judge, and of the models: the content of people.json."""
        known = {one.id: one for one in self.judgements()}
        pairs = {_pair_id(pair): pair for pair in self.judged.pairs}
        of_answers = [one for one in ratings if one.item in known]
        of_pairs = [one for one in ratings if one.item in pairs and one.question == BETTER]
        return {
            "ratings": len(of_answers) + len(of_pairs),
            "answers": len({one.item for one in of_answers}),
            "pairs": len(of_pairs),
            "agreement": self._agreement(known, of_answers),
            "agreement_on_pairs": _agreement_on_pairs(pairs, of_pairs),
            "corrected": [
                *self._corrected_scores(known, of_answers),
                *self._corrected_wins(pairs, of_pairs),
            ],
        }

    def _agreement(
        self, known: Mapping[str, Judgement], ratings: Sequence[Rating]
    ) -> dict[str, Any]:
        """Correlations of judge and person, each score a share of its scale, by how it was drawn.

        Those drawn by chance speak for all; the others were shown because the judge was unsure.
        """
        found: dict[str, Any] = {}
        for name, kept in {
            "by_chance": [one for one in ratings if one.drawn is Drawn.random],
            "all": list(ratings),
        }.items():
            points = [
                Point(one.item, known[one.item].model, judge, human)
                for one in kept
                for judge, human in [self._shares(known[one.item], one)]
                if judge is not None
            ]
            levels = [one for one in agreements(points, self.seed) if one.level == "dataset"]
            found[name] = {"ratings": len(points), **(levels[0].to_json() if levels else {})}
        return found

    def _shares(self, one: Judgement, rating: Rating) -> tuple[float | None, float]:
        criterion = self.rubrics[one.answer.rubric].criterion(rating.question)
        score = next(x.verdict.score for x in one.scores if x.criterion == rating.question)
        human = criterion.share(float(rating.value))
        return (None if score is None else criterion.share(score)), human

    def _corrected_scores(
        self, known: Mapping[str, Judgement], ratings: Sequence[Rating]
    ) -> list[dict[str, Any]]:
        """By model: the mean over answers of the mean over criteria, 0 to 1."""
        by_item: defaultdict[str, list[Rating]] = defaultdict(list)
        for one in ratings:
            by_item[one.item].append(one)
        human: dict[str, float] = {}
        for item, own in by_item.items():
            if len(own) == len(known[item].scores):
                human[item] = fmean(self._shares(known[item], one)[1] for one in own)
        by_chance = {one.item for one in ratings if one.drawn is Drawn.random}
        found = []
        for model in self.answers:
            judge = {one.id: self._mean_share(one) for one in known.values() if one.model == model}
            rated = {item: value for item, value in human.items() if item in judge}
            found += _corrected(f"{model}: {self.suite}/{OVERALL}", judge, rated, by_chance)
        return found

    def _mean_share(self, one: Judgement) -> float | None:
        rubric = self.rubrics[one.answer.rubric]
        shares = [
            rubric.criterion(x.criterion).share(x.verdict.score)
            for x in one.scores
            if x.verdict.score is not None
        ]
        return fmean(shares) if shares and len(shares) == len(one.scores) else None

    def _corrected_wins(
        self, pairs: Mapping[str, Pair], ratings: Sequence[Rating]
    ) -> list[dict[str, Any]]:
        judge = {item: pair.won for item, pair in pairs.items()}
        human = {one.item: WON[str(one.value)] for one in ratings}
        by_chance = {one.item for one in ratings if one.drawn is Drawn.random}
        return _corrected(f"{self.suite}/{WIN_RATE}", judge, human, by_chance)


def _corrected(
    name: str, judge: Mapping[str, float | None], human: Mapping[str, float], by_chance: set[str]
) -> list[dict[str, Any]]:
    scores = [score for score in judge.values() if score is not None]
    estimate = corrected_mean(judge, human, by_chance)
    if estimate is None:
        return []
    facts = {"name": name, "items": len(judge), "rated": len(human), "judge": fmean(scores)}
    return [{**facts, "people": asdict(estimate)}]


def _agreement_on_pairs(
    pairs: Mapping[str, Pair], ratings: Sequence[Rating]
) -> dict[str, int] | None:
    """How often person and judge name the same winner, or both none."""
    both = [one for one in ratings if pairs[one.item].outcome is not None]
    same = sum(pairs[one.item].outcome == one.value for one in both)
    return {"pairs": len(both), "same": same} if both else None


def _given(rubric: Rubric, answer: Answer) -> list[tuple[str, str]]:
    shown = [(rubric.source, answer.source)]
    if rubric.context and answer.context:
        shown.append((rubric.context, answer.context))
    return shown


def _question(criterion: Criterion) -> Question:
    choices = [
        Choice(float(score), str(score), str(score))
        for score in range(criterion.low, criterion.high + 1)
    ]
    return Question(criterion.name, f"{criterion.label}: {criterion.definition}", tuple(choices))


def _pair_id(pair: Pair) -> str:
    return f"pair/{pair.rubric}/{pair.id}"


def _pair_doubt(pair: Pair) -> float:
    """Unreadable replies first, then orders that disagree; others are shown by chance alone."""
    return {None: 2.0, False: 1.0, True: 0.0}[pair.is_consistent]
