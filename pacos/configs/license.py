"""License policy of a run: the use that its model is for, and who waived a conflict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pacos.errors import Problem
from pacos.terms.catalogue import catalogue, find_terms
from pacos.terms.combine import Conflict, Input, Use, combine
from pacos.terms.record import to_record

PAGE = "docs/licences.md"
"""Page that explains policies and waivers."""


class LicensePolicy(Enum):
    """The use of a model that its inputs must permit."""

    research = "research"
    commercial = "commercial"
    none = "none"

    @property
    def use(self) -> Use | None:
        """The use to check; None checks nothing."""
        return None if self is LicensePolicy.none else Use[self.name]


@dataclass(kw_only=True, slots=True)
class WaiverConfig:
    """A decision to use works although their terms conflict with the policy."""

    by: str | None = None
    """Name of the person who decided. Manifest and card show it."""
    what: list[str] = field(default_factory=list)
    """Ids of the terms whose conflicts are waived: `license_waiver.what=[openai-output]`."""
    why: str | None = None
    """Reason, such as a permission in writing. Manifest and card show it."""

    @property
    def is_given(self) -> bool:
        """True if any part of a waiver is set."""
        return bool(self.by or self.what or self.why)

    def problems(self) -> list[Problem]:
        """Return what an incomplete waiver lacks, and terms that pacos does not know."""
        parts = {"by": self.by, "what": self.what, "why": self.why}
        fault, remedy = "a waiver says who waived what and why", f"set it; see {PAGE}"
        problems = [
            Problem(f"license_waiver.{key}", value or None, fault, remedy)
            for key, value in parts.items()
            if self.is_given and not value
        ]
        return problems + [_unknown("license_waiver.what", text) for text in self._unknown_texts()]

    def _unknown_texts(self) -> list[str]:
        return [text for text in self.what if find_terms(text) is None]

    def covers(self, conflict: Conflict) -> bool:
        """Return True if it waives the conflicts of an input with these terms."""
        return conflict.input.terms in [find_terms(text) for text in self.what]


def license_problems(
    inputs: Sequence[Input], policy: LicensePolicy, waiver: WaiverConfig
) -> list[Problem]:
    """Return every problem of a config's terms: unknown ones, a waiver's, and conflicts.

    Args:
        inputs: the works whose terms the config states.
        policy: the use of the model.
        waiver: the conflicts to accept.
    """
    known = [work for work in inputs if find_terms(work.stated) is not None]
    unknown = {work.key: work.stated for work in inputs if work not in known}
    return [
        *(_unknown(key, stated) for key, stated in unknown.items()),
        *waiver.problems(),
        *conflict_problems(known, policy, waiver),
    ]


def _unknown(key: str, value: str) -> Problem:
    known = ", ".join(catalogue())
    remedy = f"write one of: {known} ({PAGE})"
    return Problem(key, value, "names no licence or terms that pacos knows", remedy)


def conflict_problems(
    inputs: Sequence[Input], policy: LicensePolicy, waiver: WaiverConfig
) -> list[Problem]:
    """Return the conflicts with the policy that nobody waived."""
    use = policy.use
    if use is None:
        return []
    return [
        _problem(conflict, policy)
        for conflict in combine(inputs).conflicts
        if conflict.breaks(use) and not waiver.covers(conflict)
    ]


def _problem(conflict: Conflict, policy: LicensePolicy) -> Problem:
    work = conflict.input
    source = "" if conflict.number is None else f"{work.terms.name}, {conflict.number}: "
    if work.via is not None:
        source = f"was made with {work.name} ({work.stated}): {source}"
    instead = [conflict.remedy]
    if policy is LicensePolicy.commercial and conflict.forbids is Use.commercial:
        instead.append("set license_policy=research")
    instead.append(f"or record who waives it and why (license_waiver, {PAGE})")
    fault = f"{source}{conflict.fault} (license_policy={policy.name})"
    return Problem(work.key, work.via or work.stated, fault, ", ".join(instead))


def terms_record(
    inputs: Sequence[Input], policy: LicensePolicy, waiver: WaiverConfig
) -> dict[str, Any]:
    """Return what the manifest of a run keeps of its terms."""
    given = None
    if waiver.is_given:
        # By id, however the config calls them.
        waived = [terms.id for text in waiver.what if (terms := find_terms(text))]
        given = {"by": waiver.by, "what": waived, "why": waiver.why}
    return to_record(combine(inputs), policy.name, given)
