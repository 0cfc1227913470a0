"""Config of decontamination."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pacos.benchmarks.catalogue import BENCHMARKS, Benchmark
from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class DecontaminationConfig:
    """Which benchmarks no generated row may give away."""

    benchmarks: list[str] = field(default_factory=list)
    """Names in pacos/benchmarks/catalogue.py, best those of the suite that will judge the model.
    Empty: rows are compared with none."""
    data_dir: str | None = None
    """Folder of the benchmarks' files, laid out as docs/decontamination.md says; null is enough for
    those that come with pacos."""

    def folder(self) -> Path | None:
        """Where the benchmarks' files are."""
        return None if self.data_dir is None else Path(self.data_dir).expanduser()

    def problems(self) -> list[Problem]:
        """Names that are none, and a folder that is not named."""
        key = "decontamination.benchmarks"
        remedy = f"choose among: {', '.join(BENCHMARKS)}"
        found = [
            Problem(key, name, "no such benchmark", remedy)
            for name in self.benchmarks
            if name not in BENCHMARKS
        ]
        outside = [name for name, benchmark in self._known().items() if benchmark.folder is None]
        if outside and self.data_dir is None:
            what = f"needed for the files of {', '.join(outside)}"
            remedy = "set it to their folder, or leave these benchmarks out"
            found.append(Problem("decontamination.data_dir", None, what, remedy))
        return found

    def missing_files(self) -> list[Problem]:
        """Benchmarks of which no file is there."""
        folder = self.folder()
        if folder is None:
            return []
        remedy = "put it there, or leave the benchmark out"
        return [
            Problem("decontamination.benchmarks", name, f"no file {folder / one.pattern}", remedy)
            for name, one in self._known().items()
            if not one.files(folder)
        ]

    def _known(self) -> dict[str, Benchmark]:
        return {name: BENCHMARKS[name] for name in self.benchmarks if name in BENCHMARKS}
