"""The terms of a model: as free as the least free of what it was made from. No legal advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from pacos.terms.catalogue import UNKNOWN, Clause, Kind, Terms, Through, catalogue, find_terms


class Role(Enum):
    """The part that a work has in a model."""

    weights = "weights"
    data = "data"
    teacher = "teacher"
    code = "code"


THROUGH = {
    Role.weights: Through.weights,
    Role.data: Through.rows,
    Role.teacher: Through.rows,
}
"""How each role enters a model. Code that trains a model does not enter it."""


class Use(Enum):
    """A use of the model, the freest last."""

    research = "research"
    commercial = "commercial"


@dataclass(frozen=True, slots=True)
class Input:
    """A work that a model is made from."""

    role: Role
    name: str
    """Name of the model, data set or program."""
    stated: str
    """Its terms, as a config or a row states them."""
    key: str
    """Config key that states them, or names the run in `via`; for messages."""
    via: str | None = None
    """Path of a model or data set of an earlier run that was made from the work; None if this run
    itself uses it."""

    @property
    def terms(self) -> Terms:
        """The terms that `stated` names; `unknown` if it names none that pacos knows."""
        return find_terms(self.stated) or catalogue()[UNKNOWN]

    def clauses(self) -> tuple[Clause, ...]:
        """Return the clauses that bind a model made from the work in this role."""
        through = THROUGH.get(self.role)
        return tuple(clause for clause in self.terms.clauses if through in clause.through)


PACOS = Input(Role.code, "pacos", "apache-2.0", "")
"""The program itself."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A demand on the model, with the document it comes from."""

    terms: str
    clause: Clause

    def __str__(self) -> str:
        return f"{self.terms} {self.clause.number}: {self.clause.text}"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A clause that forbids a use of the model."""

    input: Input
    number: str | None
    """Number of the clause; None if the input has no known terms."""
    fault: str
    """What it forbids, to be read after terms and clause."""
    remedy: str
    forbids: Use
    """The least free use that it forbids; `research` forbids both."""

    def breaks(self, use: Use) -> bool:
        """Return True if the model may not be used so."""
        return use is Use.commercial or self.forbids is Use.research


@dataclass(frozen=True, slots=True)
class Combined:
    """The terms of a model or data set."""

    inputs: tuple[Input, ...]
    duties: tuple[Duty, ...]
    """United; each once."""
    conflicts: tuple[Conflict, ...]

    def permits(self, use: Use) -> bool:
        """Return True if no clause forbids the use."""
        return not any(conflict.breaks(use) for conflict in self.conflicts)

    @property
    def use(self) -> Use | None:
        """The freest use that no clause forbids; None if every use is forbidden."""
        return next((use for use in reversed(Use) if self.permits(use)), None)


def combine(inputs: Sequence[Input]) -> Combined:
    """Unite the duties of the inputs, and find the clauses that do not go together."""
    distinct = tuple(dict.fromkeys(inputs))
    duties = dict.fromkeys(
        Duty(work.terms.id, clause) for work in distinct for clause in work.clauses()
    )
    conflicts = (conflict for work in distinct for conflict in _conflicts(work, distinct))
    return Combined(distinct, tuple(duties), tuple(conflicts))


FREE = "apache-2.0, mit or cc-by-4.0"
"""Terms that a remedy proposes."""


def _conflicts(work: Input, inputs: Sequence[Input]) -> Iterator[Conflict]:
    if work.terms.id == UNKNOWN and work.role in THROUGH:
        where = f"with {work.key}" if work.via is None else "in the run that made it"
        yield Conflict(
            work,
            number=None,
            fault=f"the terms of {work.name} are unknown",
            remedy=f"state them {where}, or use works under {FREE}",
            forbids=Use.commercial,
        )
    for clause in work.clauses():
        for fault, remedy, forbids in _faults(work, clause, inputs):
            yield Conflict(work, clause.number, fault, remedy, forbids)


def _faults(work: Input, clause: Clause, inputs: Sequence[Input]) -> Iterator[tuple[str, str, Use]]:
    """Yield what a clause forbids, what would do instead, and the least free use it forbids."""
    other_teacher = f"use rows of people or of a teacher under {FREE}"
    if clause.kind is Kind.research_only:
        yield (
            "permits no commercial use",
            f"use {work.role.value} under {FREE}",
            Use.commercial,
        )
    elif clause.kind is Kind.no_competitor:
        yield (
            "forbids models that compete with the service, as a commercial one may",
            other_teacher,
            Use.commercial,
        )
    elif clause.kind is Kind.no_training:
        yield "forbids training on the outputs without authorization", other_teacher, Use.research
    elif clause.kind is Kind.improves_only:
        for other in inputs:
            if other.role is Role.weights and other.terms.id not in clause.allows:
                allowed = ", ".join(sorted(clause.allows))
                yield (
                    f"forbids improving other models with its outputs, such as {other.name} "
                    f"({other.terms.id})",
                    f"train weights under {allowed}, or {other_teacher}",
                    Use.research,
                )
    elif clause.kind is Kind.share_alike:
        for other in inputs:
            if other.terms.id not in clause.allows and _adds_restrictions(other, work.terms):
                yield (
                    f"lets nobody share the model under more restrictions, but {other.name} "
                    f"({other.terms.id}) brings some",
                    f"leave one of the two out, or use {work.role.value} under {FREE}",
                    Use.commercial,
                )


def _adds_restrictions(other: Input, alike: Terms) -> bool:
    """Return True if a work demands what a share-alike licence does not allow to add."""
    if other.terms.id == alike.id:
        return False
    # A notice may be added to every work, and a non-commercial licence restricts commercial use.
    allowed = {Kind.attribution, *(clause.kind for clause in alike.clauses)} - {Kind.share_alike}
    return any(clause.kind not in allowed for clause in other.clauses())
