"""Integer division of work: rounded up, and balanced over workers."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def ceil_div(dividend: int, divisor: int) -> int:
    """Return dividend / divisor, rounded up.

    Exact for integers of any size, which `math.ceil` of a float quotient is not above 2**53.
    """
    return -(-dividend // divisor)


def balance(
    costs: Sequence[float], workers: int, *, most_each: int | None = None
) -> list[list[int]]:
    """Assign items to workers so that the most loaded worker has little work.

    Graham's longest-processing-time rule (SIAM J. Appl. Math. 17, 1969): the costliest item first,
    each to the worker with the least work so far. The largest load is at most 4/3 of the optimum.
    Ties go to the first item and the first worker, so every process computes the same assignment.

    Args:
        costs: cost of each item.
        workers: number of workers.
        most_each: items that one worker takes at most; None for no limit.

    Returns:
        For each worker its indices into `costs`, the costliest first.
    """
    shares: list[list[int]] = [[] for _ in range(workers)]
    loads: list[tuple[float, int]] = [(0, worker) for worker in range(workers)]
    for item in sorted(range(len(costs)), key=lambda item: -costs[item]):
        load, worker = heapq.heappop(loads)
        shares[worker].append(item)
        # A full worker leaves the heap and so gets no further item.
        if most_each is None or len(shares[worker]) < most_each:
            heapq.heappush(loads, (load + costs[item], worker))
    return shares
