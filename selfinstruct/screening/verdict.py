"""Verdicts on candidates, and the candidates that were rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pacos.contamination.evidence import Overlap
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.pool.novelty import Neighbour


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of screening one candidate."""

    reason: str | None
    """Reason for the rejection; None: accepted."""
    nearest: Neighbour | None = None
    """The closest instruction in the pool; None if the candidate was rejected before the search."""
    declined: str | None = None
    """Hazard category of a dangerous request that the output rightly declines; None: no such."""
    quality: int | None = None
    """Score of the LLM judge, 1 to 10; None: not judged."""
    overlap: Overlap | None = None
    """The benchmark item that the candidate gives away."""


class Place(NamedTuple):
    """Position of a candidate in a run: candidates are judged in this order."""

    request: int
    """Number of the request for tasks."""
    candidate: int
    """Index in its reply."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that did not become a row."""

    place: Place
    request: str
    """Key in the ledger of the request that produced it."""
    candidate: Candidate
    verdict: Verdict
