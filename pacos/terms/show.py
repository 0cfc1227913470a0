"""The terms of a run as sentences, for cards and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacos.terms.record import DISCLAIMER

USES = {
    "commercial": "research and commercial use",
    "research": "research only",
    None: "no use without the permission that a clause below asks for",
}
"""What a model may be used for, by `use` of the record."""


def use_sentence(record: Mapping[str, Any]) -> str:
    """Return what the model or data set may be used for, to be read after its name."""
    sentence = f"may be used for {USES[record['use']]}, if the duties are met."
    unknown = [work["name"] for work in record["inputs"] if work["permits"] == "unknown"]
    if unknown:
        sentence += f" The terms of {', '.join(dict.fromkeys(unknown))} are unknown."
    return sentence


def duties(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each duty, with the clause it comes from."""
    return [f"{duty['terms']} {duty['clause']}: {duty['text']}" for duty in record["duties"]]


def conflicts(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each clause that forbids a use, with the use and whether it is waived."""
    waived = (record["waiver"] or {}).get("what", ())
    return [
        f"{conflict['terms']}{clause}: {conflict['text']}; forbids {use}"
        f"{' (waived)' if conflict['terms'] in waived else ''}"
        for conflict in record["conflicts"]
        for clause in [f" {conflict['clause']}" if conflict["clause"] else ""]
        for use in ["commercial use" if conflict["forbids"] == "commercial" else "every use"]
    ]


def waiver(record: Mapping[str, Any]) -> str | None:
    """Return who waived what and why; None if nobody did."""
    given = record["waiver"]
    if given is None:
        return None
    return f"{given['by']} waived conflicts with {', '.join(given['what'])}: {given['why']}"


def markdown(record: Mapping[str, Any], made: str) -> str:
    """Return the terms of what was made, a model or a data set, as text of its card."""
    works = [
        f"| {work['role']} | {work['name']} | [{work['terms']}]({work['source']}) |"
        if work["source"] != "none"
        else f"| {work['role']} | {work['name']} | {work['terms']} |"
        for work in record["inputs"]
    ]
    parts = [
        f"The {made} {use_sentence(record)}",
        "\n".join(("| input | name | terms |", "|---|---|---|", *works)),
        _bullets("Duties of whoever shares or uses it:", duties(record)),
        _bullets("Clauses that forbid a use:", conflicts(record)),
        waiver(record),
        DISCLAIMER,
    ]
    return "\n\n".join(part for part in parts if part)


def _bullets(heading: str, lines: list[str]) -> str | None:
    return "\n".join((heading, "", *(f"- {line}" for line in lines))) if lines else None
