"""The terms of a run as its manifest keeps them, and their reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pacos.files import read_json
from pacos.run_paths import RunPaths
from pacos.terms.combine import Combined, Input, Role, combine

DISCLAIMER = "This is no legal advice: pacos compares what the terms say, as far as it knows them."

KEYS = {"weights": Role.weights, "seeds": Role.data, "teacher": Role.teacher, "data": Role.data}
"""Roles of the entries in `lineage`, in manifests that have no `terms`."""


def to_record(combined: Combined, policy: str, waiver: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the value of `terms` in the manifest.

    Args:
        combined: the terms of the model or data set.
        policy: name of the license policy that it was checked against.
        waiver: who waived which terms and why; None if nobody did.
    """
    return {
        "policy": policy,
        "waiver": waiver,
        "use": None if combined.use is None else combined.use.value,
        "inputs": [
            {
                "role": work.role.value,
                "name": work.name,
                "via": work.via,
                "stated": work.stated,
                "terms": work.terms.id,
                "permits": work.terms.permits,
                "source": work.terms.source,
                "version": work.terms.version,
                "caveat": work.terms.caveat,
            }
            for work in combined.inputs
        ],
        "duties": [
            {"terms": duty.terms, "clause": duty.clause.number, "text": duty.clause.text}
            for duty in combined.duties
        ],
        "conflicts": [
            {
                "input": conflict.input.name,
                "terms": conflict.input.terms.id,
                "clause": conflict.number,
                "text": conflict.fault,
                "forbids": conflict.forbids.value,
            }
            for conflict in combined.conflicts
        ],
    }


def read_record(run: RunPaths) -> dict[str, Any]:
    """Return the terms recorded in a run's manifest.

    A manifest of a version without them names terms in its lineage, from which they follow.
    """
    manifest = read_json(run.manifest)
    recorded: dict[str, Any] | None = manifest.get("terms")
    if recorded is not None:
        return recorded
    return to_record(combine(list(_from_lineage(manifest.get("lineage", {})))), "none", None)


def _from_lineage(lineage: Mapping[str, Any]) -> Iterator[Input]:
    for name in KEYS.keys() & lineage.keys():
        stated = lineage[name]
        for text in [stated] if isinstance(stated, str) else stated:
            yield Input(KEYS[name], name, text, name)


def inputs_of(path: str, key: str) -> Sequence[Input]:
    """Return what a model or data set of an earlier run was made from; empty for any other.

    Args:
        path: of a run, or of a folder or file in it, such as its model.
        key: config key that names the path, for messages.
    """
    start = Path(path).expanduser()
    if not start.exists():
        return []
    start = start.absolute()
    # A model, a data file or a checkpoint lies at most two folders below its run.
    for folder in (start, *start.parents[:2]):
        run = RunPaths(folder)
        if run.manifest.is_file() and "stage" in read_json(run.manifest):
            works = read_record(run)["inputs"]
            return [
                Input(Role(work["role"]), work["name"], work["stated"], key, work["via"] or path)
                for work in works
                if work["role"] != Role.code.value
            ]
    return []
