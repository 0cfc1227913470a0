from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.findings.compare import compare_heldout, compare_suites
from eval.findings.significance import (
    ComparisonVerdict,
    Difference,
    bootstrap_interval,
    holm,
    paired,
    sign_flip_p,
)
from eval.findings.standard_error import clusters_of, standard_error
from eval.harness.heldout import RowScore
from eval.harness.results import SuiteResult
from pacos.errors import UserError


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def accuracy(before: list[float], after: list[float]) -> Difference:
    return paired("task/acc", before, after, higher_is_better=True, seed=1)


def test_figures_of_a_mean_are_those_by_hand() -> None:
    found = accuracy([0, 0, 1, 1], [1, 0, 1, 1])
    assert (found.items, found.before, found.after, found.difference) == (4, 0.5, 0.75, 0.25)


def test_a_weighted_figure_counts_every_token_the_same() -> None:
    before = [RowScore("a", 2.0, 1), RowScore("b", 9.0, 3)]
    after = [RowScore("a", 1.0, 1), RowScore("b", 6.0, 3)]
    found = compare_heldout(before, after, seed=1)
    assert found is not None
    assert (found.before, found.after, found.difference) == (2.75, 1.75, -1.0)
    # Both rows gain one nat a token, so every resample does.
    assert found.interval == pytest.approx((-1.0, -1.0))
    assert found.verdict is ComparisonVerdict.cannot_tell, "two rows prove nothing"


def test_lower_nll_is_better() -> None:
    before = [RowScore(str(n), 3.0 + n, 2) for n in range(20)]
    after = [RowScore(str(n), 2.5 + n, 2) for n in range(20)]
    found = compare_heldout(before, after, seed=1)
    assert found is not None
    assert found.verdict is ComparisonVerdict.better
    worse = compare_heldout(after, before, seed=1)
    assert worse is not None
    assert worse.verdict is ComparisonVerdict.worse


def test_other_tokens_are_not_compared() -> None:
    assert compare_heldout([RowScore("a", 1.0, 3)], [RowScore("a", 1.0, 4)], seed=1) is None


def test_equal_models_differ_by_nothing() -> None:
    found = accuracy([0, 1, 1], [0, 1, 1])
    assert found.interval == (0.0, 0.0)
    assert found.p == 1.0
    assert found.verdict is ComparisonVerdict.cannot_tell


def test_the_interval_agrees_with_normal_theory() -> None:
    differences = random().normal(0.3, 1.0, 400)
    low, high = bootstrap_interval(differences, np.ones(400), random())
    error = differences.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(differences.mean() - 1.96 * error, abs=0.01)
    assert high == pytest.approx(differences.mean() + 1.96 * error, abs=0.01)


@pytest.mark.parametrize("gained", [1, 4, 6])
def test_p_agrees_with_the_exact_sign_test(gained: int) -> None:
    differences = np.array([1.0] * gained + [0.0] * 10)
    assert sign_flip_p(differences, random()) == pytest.approx(2 * 0.5**gained, abs=0.01)


def test_a_few_changed_items_are_no_verdict() -> None:
    # The bootstrap alone is sure: of 18 items it rarely draws none of these four.
    found = accuracy([0] * 18, [1] * 4 + [0] * 14)
    assert found.interval[0] > 0
    assert found.p == pytest.approx(0.125, abs=0.02)
    assert found.verdict is ComparisonVerdict.cannot_tell


def test_many_changed_items_are_a_verdict() -> None:
    assert accuracy([0] * 18, [1] * 9 + [0] * 9).verdict is ComparisonVerdict.better
    assert accuracy([1] * 9 + [0] * 9, [0] * 18).verdict is ComparisonVerdict.worse


def test_verdicts_without_a_true_change_are_rare() -> None:
    wrong = 0
    for seed in range(200):
        draws = np.random.default_rng(seed).integers(0, 2, (2, 15))
        found = paired(f"{seed}/acc", draws[0], draws[1], higher_is_better=True, seed=seed)
        wrong += found.verdict is not ComparisonVerdict.cannot_tell
    assert wrong <= 16, "5 % of 200 and some luck"


def test_the_same_seed_draws_the_same() -> None:
    values = list(random().normal(size=30)), list(random().normal(size=30) + 0.1)
    assert accuracy(*values) == accuracy(*values)


def suite(scores: dict[str, list[float]], **changes: Any) -> SuiteResult:
    """Results as the harness writes them, one metric a task."""
    results = {task: {"acc,none": float(np.mean(values))} for task, values in scores.items()}
    higher = {task: {"acc": True} for task in scores}
    samples = {
        task: [
            {"doc_id": n, "doc_hash": f"{task}{n}", "filter": "none", "acc": value, **changes}
            for n, value in enumerate(values)
        ]
        for task, values in scores.items()
    }
    return SuiteResult({"results": results, "higher_is_better": higher}, samples)


def test_tasks_are_compared_alone_and_together() -> None:
    before, after = suite({"x": [0, 1], "y": [0, 0, 0]}), suite({"x": [1, 1], "y": [1, 0, 0]})
    found = compare_suites("all", before, after, seed=1)
    figures = [(one.name, one.items, one.before, one.after) for one in found]
    assert figures == [
        ("x/acc", 2, 0.5, 1.0),
        ("y/acc", 3, 0.0, pytest.approx(1 / 3)),
        ("all/acc", 5, 0.2, 0.6),
    ]


def test_a_score_that_is_no_mean_over_items_is_left_out() -> None:
    before, after = suite({"x": [0, 1]}), suite({"x": [1, 1]})
    after.results["results"]["x"]["acc,none"] = 0.3
    assert compare_suites("all", before, after, seed=1) == []


def test_lines_of_tasks_are_corrected_for_their_number() -> None:
    """Holm (1979): 0.01 x 4, 0.02 x 3, then never less than before."""
    lines = [replace(accuracy([0, 0], [0, 1]), p=p) for p in (0.02, 0.01, 0.9, 0.029)]
    assert [line.corrected_p for line in holm(lines)] == pytest.approx([0.06, 0.04, 0.9, 0.06])


def test_a_corrected_line_may_no_longer_tell() -> None:
    found = accuracy([0] * 18, [1] * 9 + [0] * 9)
    assert found.verdict is ComparisonVerdict.better
    assert holm([found] * 20)[0].verdict is ComparisonVerdict.cannot_tell


def test_questions_about_one_passage_are_one_draw() -> None:
    before, after = [0] * 20, [1] * 10 + [0] * 10
    alone = paired("t/acc", before, after, higher_is_better=True, seed=1)
    passages = [number // 10 for number in range(20)]
    together = paired("t/acc", before, after, higher_is_better=True, seed=1, clusters=passages)
    assert alone.verdict is ComparisonVerdict.better
    assert together.verdict is ComparisonVerdict.cannot_tell
    assert together.interval == (0.0, 1.0)


def test_clusters_are_found_by_passage_and_by_long_beginnings() -> None:
    excerpt = "This question refers to the following letter. " * 6
    docs = [
        {"context": "A short passage.", "question": "Who?"},
        {"context": "Another passage.", "question": "Who?"},
        {"context": "A short passage.", "question": "When?"},
        {"question": excerpt + "Who wrote it?"},
        {"question": excerpt + "Who read it?", "context": "Another passage."},
        {"question": "Who?", "choices": ["a"]},
    ]
    assert clusters_of(docs) == [0, 1, 0, 1, 1, 2]


def test_the_standard_error_is_that_of_independent_items() -> None:
    values = random().normal(size=50)
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    assert standard_error(values, list(range(50))) == pytest.approx(standard_error(values))


def test_copies_of_an_item_make_a_score_no_surer() -> None:
    values = random().normal(size=50)
    copied = np.repeat(values, 4)
    clusters = [number // 4 for number in range(200)]
    assert standard_error(copied, clusters) == pytest.approx(standard_error(values))
    assert standard_error(copied) < 0.6 * standard_error(values)


def test_different_items_are_refused() -> None:
    before, after = suite({"x": [0, 1]}), suite({"x": [1, 1]}, doc_hash="other")
    with pytest.raises(UserError, match="x: the two models were scored on different items"):
        compare_suites("all", before, after, seed=1)
