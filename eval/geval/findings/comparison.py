"""Two models by one judge: its scores of the same prompts, and the pairs it was shown."""

from __future__ import annotations

from collections.abc import Mapping

from eval.findings.compare import Difference, paired
from eval.geval.findings.figures import tables, wins
from eval.geval.records import Judged
from eval.rubrics.rubric import Rubric


def compare_judged(
    suite: str, rubrics: Mapping[str, Rubric], judged: Judged, seed: int
) -> list[Difference]:
    """Compare every figure that both models have, over the prompts where both have a score.

    The win rate of the target is compared with a half, which says that neither is better.
    """
    before, after = (tables(suite, rubrics, judged, model) for model in ("baseline", "target"))
    found = []
    for name, table in after.items():
        items = [item for item in table if item in before.get(name, {})]
        if items:
            old, new = [before[name][item] for item in items], [table[item] for item in items]
            found.append(paired(name, old, new, higher_is_better=True, seed=seed))
    for name, outcomes in wins(suite, judged).items():
        won = list(outcomes.values())
        found.append(paired(name, [0.5] * len(won), won, higher_is_better=True, seed=seed))
    return found
