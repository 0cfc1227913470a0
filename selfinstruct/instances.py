"""The instances of one instruction against each other (Self-Instruct)."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.parse import Candidate


def contradict(instances: Sequence[Candidate]) -> bool:
    """Whether two have the same input, not empty, and different outputs.

    Then none of the instruction's instances is kept: which of them is right is not known.
    """
    outputs: dict[str, str] = {}
    return any(
        outputs.setdefault(instance.input, instance.output) != instance.output
        for instance in instances
        if instance.input
    )


def repeats(instances: Sequence[Candidate]) -> list[bool]:
    """For each whether the same stood before it."""
    seen: set[Candidate] = set()
    found = []
    for instance in instances:
        found.append(instance in seen)
        seen.add(instance)
    return found
