"""A share with its interval."""

from __future__ import annotations

from typing import Any

import scipy.stats


def proportion(count: int, of: int) -> dict[str, Any] | None:
    """A share with Wilson's 95 % interval, for JSON; None of nothing."""
    if not of:
        return None
    interval = scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
    ends = {"low": float(interval.low), "high": float(interval.high)}
    return {"count": count, "of": of, "share": count / of, **ends}
