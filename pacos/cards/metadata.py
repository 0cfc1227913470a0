"""The YAML metadata at the head of a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pacos.terms.catalogue import UNKNOWN, Kind, Through, find_terms

SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
}
"""The hub's size categories, by their exclusive upper bound in rows."""


def with_metadata(metadata: Mapping[str, Any], text: str) -> str:
    """Return a card: metadata, of which those without a value are left out, and text."""
    import yaml  # takes longer to import than all that `--help` needs

    given = {key: value for key, value in metadata.items() if value not in (None, [], {})}
    return f"---\n{yaml.safe_dump(given, sort_keys=False, allow_unicode=True)}---\n\n{text}"


def license_fields(licence: str | None) -> dict[str, str]:
    """Return the metadata of a licence; None for terms that no single licence of the hub states."""
    if licence is not None:
        return {"license": licence}
    # The hub shows name and link in place of the licence `other`.
    return {"license": "other", "license_name": "see-terms", "license_link": "README.md"}


def size_category(rows: int) -> str:
    """Return the hub's size category of a data set."""
    return next((name for end, name in SIZES.items() if rows < end), "10M<n<100M")


def single_license(terms: Sequence[str]) -> str | None:
    """Return the licence that all terms name; None if they differ or name none of the hub's.

    Works under different licences give none: which covers the whole is a question for a lawyer.
    """
    named = {find_terms(text) for text in terms}
    whole = named.pop() if len(named) == 1 else None
    return whole.id if whole is not None and whole.hub and whole.id != UNKNOWN else None


def model_license(works: Sequence[Mapping[str, str]]) -> str | None:
    """Return the licence of a model: that of its weights, if its rows demand nothing beyond it.

    Args:
        works: `inputs` of the record of terms.

    Returns:
        None if the rows demand more than a notice, or if the weights have no licence of the hub.
    """
    weights = [work["terms"] for work in works if work["role"] == "weights"]
    licence = single_license(weights)
    for work in works:
        terms = find_terms(work["terms"])
        if work["role"] in ("weights", "code") or work["terms"] == licence:
            continue
        if terms is None or terms.id == UNKNOWN:
            return None
        demands = {clause.kind for clause in terms.clauses if Through.rows in clause.through}
        if demands - {Kind.attribution, Kind.pass_on}:
            return None
    return licence
