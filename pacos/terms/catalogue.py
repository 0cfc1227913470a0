"""The licences and output terms that pacos knows, read from terms.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

UNKNOWN = "unknown"
"""Id of the terms of works whose licence nobody has stated."""

REMARK = re.compile(r"\s*\([^()]*\)\s*$")
"""A remark after an identifier: `apache-2.0 (our seeds)`."""


class Kind(Enum):
    """The subject of a clause."""

    attribution = "attribution"
    pass_on = "pass on the terms"
    use_policy = "use policy"
    share_alike = "share alike"
    built_with = "display"
    name = "name"
    users = "number of users"
    research_only = "research only"
    improves_only = "models that outputs may improve"
    no_competitor = "no competing models"
    no_training = "no training"


class Through(Enum):
    """The way in which a work enters a model."""

    weights = "weights"
    """Training starts from them."""
    rows = "rows"
    """It trains on them: texts of people, or outputs of a teacher."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One demand of a licence on a model made from the work."""

    kind: Kind
    number: str
    """As the document numbers its clauses."""
    text: str
    """The demand, to be read after "you must": `display “Built with Llama”`."""
    through: frozenset[Through]
    """Ways of entering a model that bring the demand with them."""
    allows: frozenset[str] = frozenset()
    """Ids of terms that the clause accepts: of models that outputs may improve, or of works that
    may be combined with one to share alike. Empty for other kinds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A licence, or the terms of a service's outputs."""

    id: str
    name: str
    source: str
    """Address of the document."""
    version: str
    """Date or version of the document that was read."""
    clauses: tuple[Clause, ...]
    aliases: tuple[str, ...] = ()
    """Other names of the document."""
    hub: bool = False
    """True if the Hugging Face hub has a licence with this identifier."""
    caveat: str | None = None
    """What was not checked, or what the document leaves open."""

    @property
    def permits(self) -> str:
        """The permitted use by itself: `research`, `commercial` or `unknown`."""
        if self.id == UNKNOWN:
            return UNKNOWN
        kinds = {clause.kind for clause in self.clauses}
        return "research" if Kind.research_only in kinds else "commercial"


@cache
def catalogue() -> Mapping[str, Terms]:
    """Return all terms by id, in the order of the file."""
    import yaml  # takes longer to import than all that `--help` needs

    text = files(__package__).joinpath("terms.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return {entry["id"]: _terms(entry) for entry in entries}


def find_terms(text: str) -> Terms | None:
    """Return the terms that a text names by id or by name, with or without a remark in brackets.

    Upper and lower case make no difference. None if the text names none that pacos knows.
    """
    known = _by_name()
    return known.get(text.strip().lower()) or known.get(REMARK.sub("", text).strip().lower())


@cache
def _by_name() -> Mapping[str, Terms]:
    return {
        name.lower(): terms
        for terms in catalogue().values()
        for name in (terms.id, terms.name, *terms.aliases)
    }


def _terms(entry: Mapping[str, Any]) -> Terms:
    return Terms(
        id=entry["id"],
        name=entry["name"],
        source=entry["source"],
        version=entry["version"],
        clauses=tuple(_clause(clause) for clause in entry["clauses"]),
        aliases=tuple(entry.get("aliases", ())),
        hub=entry.get("hub", False),
        caveat=entry.get("caveat"),
    )


def _clause(entry: Mapping[str, Any]) -> Clause:
    return Clause(
        kind=Kind[entry["kind"]],
        number=entry["number"],
        text=entry["text"],
        through=frozenset(Through[name] for name in entry.get("through", ("weights", "rows"))),
        allows=frozenset(entry.get("allows", ())),
    )
