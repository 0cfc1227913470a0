"""The report's section on provenance: licences, versions, inputs, and the files of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.report.stages import StageFacts, flat_texts
from pacos.run_paths import DataPaths

SHOWN_ELSEWHERE = ("stage", "created", "inputs", "lineage", "terms")
"""Manifest keys that other parts of the page show."""

NAMED_BY = {
    "seeds": "seeds.path",
    "teacher": "generator.name",
    "weights": "model.name",
    "data": "data.path",
}
"""Config key that names the source of each entry in the manifest's lineage."""

IDENTITY_DIGITS = 16
"""Digits of the identity shown: enough to tell runs apart. The manifest has all of them."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of the manifests, with its value for each stage."""

    name: str
    values: list[str]

    @property
    def same(self) -> bool:
        """True if all stages have the same value."""
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
    """A licence, or terms of use, that the result inherits."""

    stage: str
    source: str
    """Kind of source, such as weights or seeds."""
    name: str
    """Name of the source; empty if the config has none."""
    terms: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file or folder of the run."""

    path: str
    content: str
    size: str


@dataclass(frozen=True, slots=True)
class ProvenanceSection:
    """The origin of a run, and the files in its folder."""

    stages: list[str]
    facts: list[Fact]
    inputs: list[Input]
    terms: list[Terms]
    files: list[FileEntry]


def read_provenance(run: Path, stages: Sequence[StageFacts]) -> ProvenanceSection:
    """Read the manifests and list the files of the stages that have begun."""
    begun = [stage for stage in stages if stage.manifest]
    return ProvenanceSection(
        stages=[stage.name for stage in begun],
        facts=_facts(begun),
        inputs=[
            Input(stage.name, name, record["path"], record["sha256"])
            for stage in begun
            for name, record in stage.manifest["inputs"].items()
        ],
        terms=[terms for stage in begun for terms in _terms(stage)],
        files=[entry for stage in begun for entry in _files(run, stage)],
    )


def _facts(stages: Sequence[StageFacts]) -> list[Fact]:
    flat = [
        flat_texts(
            {key: value for key, value in stage.manifest.items() if key not in SHOWN_ELSEWHERE}
        )
        for stage in stages
    ]
    names = dict.fromkeys(name for facts in flat for name in facts)
    return [Fact(name, [_shown(name, facts.get(name, "")) for facts in flat]) for name in names]


def _shown(name: str, value: str) -> str:
    if name == "identity":
        return value[:IDENTITY_DIGITS]
    return format_bytes(int(value)) if name.endswith("_bytes") and value.isdigit() else value


def _terms(stage: StageFacts) -> Iterator[Terms]:
    for source, terms in flat_texts(stage.manifest.get("lineage", {})).items():
        yield Terms(stage.name, source, stage.config.get(NAMED_BY.get(source, ""), ""), terms)


def _files(run: Path, stage: StageFacts) -> Iterator[FileEntry]:
    data = DataPaths(stage.run.data)
    for path, content in (
        (data.rows, "data set"),
        (data.parquet, "the same data set for datasets.load_dataset"),
        (data.conversations, "the same data set as conversations"),
        (data.heldout, "held-out rows"),
        (data.rejected, "rejected candidates with their reasons"),
        (data.ledger, "every reply of the generator"),
        (data.judge_ledger, "every reply of the judge"),
        (data.requirements, "requirements on demonstration data, met or not"),
        (data.card, "data card"),
        (stage.run.model, "trained model with tokenizer and model card"),
        (stage.run.checkpoints, "checkpoints"),
        (stage.run.eval, "results and samples in the harness's schema; comparison"),
        (stage.run.metrics, "metrics of each step"),
        (stage.run.health, "unusual steps with their rows"),
        (stage.run.samples, "answers to held-out rows during training"),
        (stage.run.config, "fully resolved config"),
        (stage.run.manifest, "manifest"),
    ):
        if path.exists():
            yield FileEntry(str(path.relative_to(run)), content, format_bytes(_bytes(path)))


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    return sum(file.stat().st_size for file in files)


def format_bytes(count: float) -> str:
    """Format a number of bytes in the largest unit that leaves at least 1."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
