"""A proportion with its confidence interval."""

from __future__ import annotations

from typing import Any

import scipy.stats


def proportion(count: int, of: int) -> dict[str, Any] | None:
    """Return a share with its 95 % Wilson interval, for JSON; None if `of` is 0.

    Wilson's interval stays within [0, 1] and is not empty at a share of 0 or 1, unlike the normal
    approximation's.
    """
    if not of:
        return None
    interval = scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
    ends = {"low": float(interval.low), "high": float(interval.high)}
    return {"count": count, "of": of, "share": count / of, **ends}
