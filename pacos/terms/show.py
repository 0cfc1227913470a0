"""The terms of a run as sentences, for cards and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacos.terms.catalogue import UNKNOWN
from pacos.terms.record import DISCLAIMER

USES = {
    "commercial": "research and commercial use",
    "research": "research only",
    None: "no use without the permission that a clause below asks for",
}
"""What a model may be used for, by `use` of the record."""


LONGEST = 60
"""Characters shown of a text that names no known terms."""


def use_sentence(record: Mapping[str, Any]) -> str:
    """Return what the model or data set may be used for, to be read after its name."""
    sentence = f"may be used for {USES[record['use']]}, if the duties are met."
    with_waiver = _use_with_waiver(record)
    if with_waiver != record["use"]:
        sentence += f" With the waiver: {USES[with_waiver]}."
    unknown = [work["name"] for work in record["inputs"] if work["permits"] == "unknown"]
    if unknown:
        sentence += f" The terms of {', '.join(dict.fromkeys(unknown))} are unknown."
    return sentence


def _use_with_waiver(record: Mapping[str, Any]) -> str | None:
    """Return the use that no clause forbids except waived ones."""
    waived = (record["waiver"] or {}).get("what", ())
    forbidden = {
        conflict["forbids"] for conflict in record["conflicts"] if conflict["terms"] not in waived
    }
    if "research" in forbidden:
        return None
    return "research" if "commercial" in forbidden else "commercial"


def name_of(work: Mapping[str, Any]) -> str:
    """Return the name of an input, with the earlier run that it was used in."""
    return str(work["name"]) if work["via"] is None else f"{work['name']} (in {work['via']})"


def stated_of(work: Mapping[str, Any]) -> str:
    """Return the terms of an input, with the text that states them if it is not understood."""
    stated = " ".join(work["stated"].split())[:LONGEST]
    is_shown = work["terms"] == UNKNOWN and stated.lower() != UNKNOWN
    return f"{work['terms']} ({stated})" if is_shown else str(work["terms"])


def duties(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each duty, with the clause it comes from."""
    return [f"{duty['terms']} {duty['clause']}: {duty['text']}" for duty in record["duties"]]


def conflicts(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each clause that forbids a use, with the use and whether it is waived."""
    waived = (record["waiver"] or {}).get("what", ())
    lines = []
    for conflict in record["conflicts"]:
        use = "no commercial use" if conflict["forbids"] == "commercial" else "no use"
        source = f"{conflict['terms']} {conflict['clause']} " if conflict["clause"] else ""
        accepted = " (waived)" if conflict["terms"] in waived else ""
        lines.append(f"{use}: {source}{conflict['text']}{accepted}")
    return lines


def waiver(record: Mapping[str, Any]) -> str | None:
    """Return who waived what and why; None if nobody did."""
    given = record["waiver"]
    if given is None:
        return None
    return f"{given['by']} waived conflicts with {', '.join(given['what'])}: {given['why']}"


def markdown(record: Mapping[str, Any], made: str) -> str:
    """Return the terms of what was made, a model or a data set, as text of its card.

    Cards are published, so folders of this machine are left out of the names of inputs.
    """
    works = [
        f"| {work['role']} | {_cell(name_of(work))} | {_cell(stated_of(work))} | {_link(work)} |"
        for work in record["inputs"]
    ]
    parts = [
        f"The {made} {use_sentence(record)}",
        "\n".join(("| input | name | terms | document |", "|---|---|---|---|", *works)),
        _bullets("Duties of whoever shares or uses it:", duties(record)),
        _bullets("Clauses that forbid a use:", conflicts(record)),
        waiver(record),
        DISCLAIMER,
    ]
    text = "\n\n".join(part for part in parts if part)
    names = {work[key] or "" for work in record["inputs"] for key in ("name", "via")}
    for name in sorted(filter(_is_here, names), key=len, reverse=True):
        text = text.replace(name, Path(name).name)
    return text


def _is_here(name: str) -> bool:
    return name.startswith(("/", "~"))


def _link(work: Mapping[str, Any]) -> str:
    return "" if work["source"] == "none" else f"<{work['source']}>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _bullets(heading: str, lines: list[str]) -> str | None:
    return "\n".join((heading, "", *(f"- {line}" for line in lines))) if lines else None
