"""The report's sections on where a run comes from: versions, inputs, terms, and where files lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.report.stages import StageFacts, flat_texts
from pacos.run_paths import DataPaths

SHOWN_APART = ("stage", "created", "inputs", "lineage")
"""Parts of a manifest that other parts of the page show."""

NAMED_BY = {
    "seeds": "seeds.path",
    "teacher": "generator.name",
    "weights": "model.name",
    "data": "data.path",
}
"""Config key that names what the manifest's lineage gives the terms of."""

IDENTITY_DIGITS = 16
"""Enough to tell runs apart; the whole digest is in the manifest."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of the manifests, with its value for each stage."""

    name: str
    values: list[str]

    @property
    def same(self) -> bool:
        """Whether all stages agree."""
        return len(set(self.values)) == 1


@dataclass(frozen=True, slots=True)
class Input:
    """A file that a stage read."""

    stage: str
    name: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Terms:
    """A licence or terms of use that the result descends from."""

    stage: str
    what: str
    name: str
    terms: str


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of the run."""

    path: str
    what: str
    size: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the run comes from and where its files lie."""

    stages: list[str]
    facts: list[Fact]
    inputs: list[Input]
    terms: list[Terms]
    places: list[Place]


def read_provenance(run: Path, stages: Sequence[StageFacts]) -> Provenance:
    """Read the manifests and look at the files of the stages that have begun."""
    begun = [stage for stage in stages if stage.manifest]
    return Provenance(
        stages=[stage.name for stage in begun],
        facts=_facts(begun),
        inputs=[
            Input(stage.name, name, record["path"], record["sha256"])
            for stage in begun
            for name, record in stage.manifest["inputs"].items()
        ],
        terms=[terms for stage in begun for terms in _terms(stage)],
        places=[place for stage in begun for place in _places(run, stage)],
    )


def _facts(stages: Sequence[StageFacts]) -> list[Fact]:
    flat = [
        flat_texts({key: value for key, value in stage.manifest.items() if key not in SHOWN_APART})
        for stage in stages
    ]
    names = dict.fromkeys(name for facts in flat for name in facts)
    return [Fact(name, [_shown(name, facts.get(name, "")) for facts in flat]) for name in names]


def _shown(name: str, value: str) -> str:
    if name == "identity":
        return value[:IDENTITY_DIGITS]
    return size_words(int(value)) if name.endswith("_bytes") and value.isdigit() else value


def _terms(stage: StageFacts) -> Iterator[Terms]:
    for what, terms in flat_texts(stage.manifest.get("lineage", {})).items():
        yield Terms(stage.name, what, stage.config.get(NAMED_BY.get(what, ""), ""), terms)


def _places(run: Path, stage: StageFacts) -> Iterator[Place]:
    data = DataPaths(stage.run.data)
    for path, what in (
        (data.rows, "data set"),
        (data.parquet, "data set for datasets.load_dataset"),
        (data.conversations, "data set as conversations"),
        (data.heldout, "held-out rows"),
        (data.rejected, "rejected candidates with their reasons"),
        (data.ledger, "every reply of the teacher"),
        (data.judge_ledger, "every reply of the judge"),
        (data.requirements, "what demonstration data must be, met or not"),
        (data.card, "data card"),
        (stage.run.model, "trained model with tokenizer and card"),
        (stage.run.checkpoints, "checkpoints"),
        (stage.run.eval, "results and samples in the harness's schema, comparison"),
        (stage.run.metrics, "metrics of every step"),
        (stage.run.health, "unusual steps with their rows"),
        (stage.run.samples, "answers to held-out rows during training"),
        (stage.run.config, "config, fully resolved"),
        (stage.run.manifest, "manifest"),
    ):
        if path.exists():
            yield Place(str(path.relative_to(run)), what, size_words(_bytes(path)))


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    return sum(file.stat().st_size for file in files)


def size_words(count: float) -> str:
    """A number of bytes in the largest unit of which there is one."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
