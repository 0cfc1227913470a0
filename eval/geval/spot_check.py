"""A person's spot check of a judge: which items to show first, and what the ratings say."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from eval.geval.answers import ModelAnswer
from eval.geval.findings.agreement import ScoredPoint, agreements
from eval.geval.findings.metrics import OVERALL, WIN_RATE
from eval.geval.findings.prediction_powered import prediction_powered_mean
from eval.geval.records import (
    BASELINE,
    TARGET,
    TARGET_SHARE,
    TIE,
    AnswerScore,
    JudgeResults,
    PairComparison,
)
from eval.rubrics.rubric import Criterion, Rubric
from pacos.review.items import Choice, Drawn, Question, Rating, ReviewItem, interleaved, queue

MISSING_SCORE_DOUBT = 10.0
"""Doubt of an answer without a score, above the 1 that an unsure judge can reach."""
BETTER = "better"
"""Name of the question about a pair."""

ASK_BETTER = {
    "en": ("Which answer is better, by all criteria together?", "neither"),
    "ko": ("기준을 모두 헤아릴 때 어느 답이 더 낫습니까?", "비슷함"),
}
"""The question about a pair and the label of a tie, by language of the rubric."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One model's answer with the judge's scores."""

    answer: ModelAnswer
    model: str
    scores: tuple[AnswerScore, ...]

    @property
    def id(self) -> str:
        return f"{self.model}/{self.answer.rubric}/{self.answer.id}"

    def doubt(self, rubric: Rubric) -> float:
        """Return the judge's largest uncertainty over the criteria; missing scores exceed all."""
        doubts = [0.0]
        for one in self.scores:
            variance = one.distribution.variance
            criterion = rubric.criterion(one.criterion)
            # A distribution on [low, high] has variance at most ((high - low)/2)² (Popoviciu), so
            # this puts criteria of different scales on 0…1.
            largest = ((criterion.high - criterion.low) / 2) ** 2
            doubts.append(MISSING_SCORE_DOUBT if variance is None else variance / largest)
        return max(doubts)


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """One judge's results in a run, prepared for a person."""

    suite: str
    seed: int
    rubrics: Mapping[str, Rubric]
    answers: Mapping[str, Sequence[ModelAnswer]]
    """Answers by label of the model."""
    results: JudgeResults

    def scored_answers(self) -> list[ScoredAnswer]:
        """Return every answer with its scores."""
        scores: defaultdict[tuple[str, str, str], list[AnswerScore]] = defaultdict(list)
        for one in self.results.scores:
            scores[one.model, one.rubric, one.id].append(one)
        return [
            ScoredAnswer(answer, model, tuple(scores[model, answer.rubric, answer.id]))
            for model, answers in self.answers.items()
            for answer in answers
        ]

    def items(self) -> list[ReviewItem]:
        """Return the review items: the most doubtful first, every second one drawn at random."""
        answers = queue(
            self.scored_answers(),
            name=lambda one: one.id,
            doubt=lambda one: one.doubt(self.rubrics[one.answer.rubric]),
            seed=self.seed,
        )
        pairs = queue(self.results.pairs, name=_pair_id, doubt=_pair_doubt, seed=self.seed)
        # Answers and pairs alternate, so that a person who stops early has rated some of both.
        return interleaved(
            [
                [self._answer_item(one, drawn) for one, drawn in answers],
                [self._pair_item(pair, drawn) for pair, drawn in pairs],
            ]
        )

    def _answer_item(self, one: ScoredAnswer, drawn: Drawn) -> ReviewItem:
        rubric, answer = self.rubrics[one.answer.rubric], one.answer
        return ReviewItem(
            id=one.id,
            drawn=drawn,
            lang=rubric.lang,
            sections=(*_inputs(rubric, answer), (rubric.output, answer.output)),
            questions=tuple(_question(criterion) for criterion in rubric.criteria),
        )

    def _pair_item(self, pair: PairComparison, drawn: Drawn) -> ReviewItem:
        rubric = self.rubrics[pair.rubric]
        sides = {
            model: next(one for one in self.answers[model] if one.item == (pair.rubric, pair.id))
            for model in (TARGET, BASELINE)
        }
        # A hash hides which model is which, and shows a resumed review the same order.
        digest = hashlib.sha256(f"{self.seed}/{_pair_id(pair)}".encode()).digest()
        order = (TARGET, BASELINE) if digest[0] % 2 else (BASELINE, TARGET)
        outputs = tuple(
            (f"{rubric.output} {number}", sides[model].output)
            for number, model in enumerate(order, 1)
        )
        text, neither = ASK_BETTER[rubric.lang]
        choices = [Choice(model, str(number), str(number)) for number, model in enumerate(order, 1)]
        question = Question(BETTER, text, (*choices, Choice(TIE, neither, "0")))
        return ReviewItem(
            id=_pair_id(pair),
            drawn=drawn,
            lang=rubric.lang,
            sections=(*_inputs(rubric, sides[TARGET]), *outputs),
            questions=(question,),
        )

    def findings(self, ratings: Sequence[Rating]) -> dict[str, Any]:
        """Return the content of people.json: what ratings say about the judge and the models."""
        answers = {one.id: one for one in self.scored_answers()}
        pairs = {_pair_id(pair): pair for pair in self.results.pairs}
        answer_ratings = [one for one in ratings if one.item in answers]
        pair_ratings = [one for one in ratings if one.item in pairs and one.question == BETTER]
        return {
            "ratings": len(answer_ratings) + len(pair_ratings),
            "answers": len({one.item for one in answer_ratings}),
            "pairs": len(pair_ratings),
            "agreement": self._agreement(answers, answer_ratings),
            "agreement_on_pairs": _pair_agreement(pairs, pair_ratings),
            "corrected": [
                *self._corrected_scores(answers, answer_ratings),
                *self._corrected_win_rate(pairs, pair_ratings),
            ],
        }

    def _agreement(
        self, answers: Mapping[str, ScoredAnswer], ratings: Sequence[Rating]
    ) -> dict[str, Any]:
        """Return correlations of judge and person, over random items and over all.

        Only the random items are representative: the others were shown because the judge was
        unsure, so agreement on them is lower than on the whole.
        """
        by_selection: dict[str, Any] = {}
        for name, kept in {
            "by_chance": [one for one in ratings if one.drawn is Drawn.random],
            "all": list(ratings),
        }.items():
            points = [
                ScoredPoint(one.item, answers[one.item].model, judge, human)
                for one in kept
                for judge, human in [self._shares(answers[one.item], one)]
                if judge is not None
            ]
            levels = [one for one in agreements(points, self.seed) if one.level == "dataset"]
            by_selection[name] = {"ratings": len(points), **(levels[0].to_json() if levels else {})}
        return by_selection

    def _shares(self, one: ScoredAnswer, rating: Rating) -> tuple[float | None, float]:
        """Return the judge's score and the rating on one criterion, as shares of its scale."""
        criterion = self.rubrics[one.answer.rubric].criterion(rating.question)
        score = next(x.distribution.mean for x in one.scores if x.criterion == rating.question)
        human = criterion.share(float(rating.value))
        return (None if score is None else criterion.share(score)), human

    def _corrected_scores(
        self, answers: Mapping[str, ScoredAnswer], ratings: Sequence[Rating]
    ) -> list[dict[str, Any]]:
        """Return each model's overall score as people would give it, 0 to 1."""
        by_item: defaultdict[str, list[Rating]] = defaultdict(list)
        for one in ratings:
            by_item[one.item].append(one)
        human: dict[str, float] = {}
        for item, own in by_item.items():
            # An answer rated on some criteria only has no overall rating yet.
            if len(own) == len(answers[item].scores):
                human[item] = fmean(self._shares(answers[item], one)[1] for one in own)
        drawn = {one.item for one in ratings if one.drawn is Drawn.random}
        corrected = []
        for model in self.answers:
            judge = {
                one.id: self._overall_share(one) for one in answers.values() if one.model == model
            }
            rated = {item: value for item, value in human.items() if item in judge}
            corrected += _corrected(f"{model}: {self.suite}/{OVERALL}", judge, rated, drawn)
        return corrected

    def _overall_share(self, one: ScoredAnswer) -> float | None:
        rubric = self.rubrics[one.answer.rubric]
        shares = [
            rubric.criterion(x.criterion).share(x.distribution.mean)
            for x in one.scores
            if x.distribution.mean is not None
        ]
        return fmean(shares) if shares and len(shares) == len(one.scores) else None

    def _corrected_win_rate(
        self, pairs: Mapping[str, PairComparison], ratings: Sequence[Rating]
    ) -> list[dict[str, Any]]:
        judge = {item: pair.target_share for item, pair in pairs.items()}
        human = {one.item: TARGET_SHARE[str(one.value)] for one in ratings}
        drawn = {one.item for one in ratings if one.drawn is Drawn.random}
        return _corrected(f"{self.suite}/{WIN_RATE}", judge, human, drawn)


def _corrected(
    name: str, judge: Mapping[str, float | None], human: Mapping[str, float], drawn: set[str]
) -> list[dict[str, Any]]:
    """Return the record of one corrected mean; none if there are too few ratings for it."""
    scores = [score for score in judge.values() if score is not None]
    estimate = prediction_powered_mean(judge, human, drawn)
    if estimate is None:
        return []
    facts = {"name": name, "items": len(judge), "rated": len(human), "judge": fmean(scores)}
    return [{**facts, "people": asdict(estimate)}]


def _pair_agreement(
    pairs: Mapping[str, PairComparison], ratings: Sequence[Rating]
) -> dict[str, int] | None:
    """Return on how many pairs person and judge name the same winner, or both a tie."""
    both = [one for one in ratings if pairs[one.item].outcome is not None]
    same = sum(pairs[one.item].outcome == one.value for one in both)
    return {"pairs": len(both), "same": same} if both else None


def _inputs(rubric: Rubric, answer: ModelAnswer) -> list[tuple[str, str]]:
    sections = [(rubric.source, answer.source)]
    if rubric.context and answer.context:
        sections.append((rubric.context, answer.context))
    return sections


def _question(criterion: Criterion) -> Question:
    choices = [
        Choice(float(score), str(score), str(score))
        for score in range(criterion.low, criterion.high + 1)
    ]
    return Question(criterion.name, f"{criterion.label}: {criterion.definition}", tuple(choices))


def _pair_id(pair: PairComparison) -> str:
    return f"pair/{pair.rubric}/{pair.id}"


def _pair_doubt(pair: PairComparison) -> float:
    """Return 2 for unreadable replies, 1 for orders that disagree, 0 for a consistent pair."""
    return {None: 2.0, False: 1.0, True: 0.0}[pair.is_consistent]
