"""Config of a suite: what a model is judged on, and what its training data must not give away."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pacos.benchmarks.catalogue import BENCHMARKS, Benchmark
from pacos.configs.stage import is_plain_name
from pacos.errors import Problem
from pacos.suites import SHIPPED_SUITES


@dataclass(kw_only=True, slots=True)
class SuiteConfig:
    """A named set of harness tasks, and the benchmarks that they are made of."""

    name: str = "???"
    """Name of the suite, and of its folder in the results."""
    tasks: list[str] = field(default_factory=list)
    """Names of tasks: YAML files in `folder`, with `*` for several; tasks, groups and tags of the
    harness; or `humaneval` (docs/sandbox.md)."""
    num_fewshot: dict[str, int] = field(default_factory=dict)
    """Examples in each prompt, by task or group, `mmlu` for `mmlu_anatomy` too; others have what
    their own files say. A name that is not there yet is added: `+suite.num_fewshot.NAME=5`."""
    rubrics: list[str] = field(default_factory=list)
    """Names of rubrics, each a YAML file in `folder`: a model answers their prompts and a judge
    scores the answers, as docs/geval.md says."""
    folder: str | None = None
    """Folder of YAML files, `shipped:NAME` for one that comes with pacos; null is the one that
    comes with pacos under the suite's name, if there is one."""
    chat_template: bool = False
    """Whether prompts are written out in the model's prompt format."""
    chat_choices: bool = True
    """Whether that is so where choices are scored too. Published scores mostly are without it."""
    benchmarks: list[str] = field(default_factory=list)
    """Names in pacos/benchmarks/catalogue.py whose items no generated row may give away. Empty:
    generated rows are compared with none."""
    data_dir: str | None = None
    """Folder of the benchmarks' files, laid out as docs/suites.md says; null takes rows from the
    hub, and is enough for those that come with pacos."""

    def directory(self) -> Path:
        """Where the suite's own files are; it may have none."""
        if self.folder is None or self.folder.startswith("shipped:"):
            return SHIPPED_SUITES / (self.folder or self.name).removeprefix("shipped:")
        return Path(self.folder).expanduser()

    def data_folder(self) -> Path | None:
        """Where the benchmarks' files are."""
        return None if self.data_dir is None else Path(self.data_dir).expanduser()

    def name_problems(self) -> list[Problem]:
        """Names that would lead elsewhere than to the files that they are for."""
        found = [
            Problem("suite.tasks", name, "must be a name without /", "set suite.folder instead")
            for name in self.tasks
            if "/" in name
        ]
        if self.name != "???" and not is_plain_name(self.name):
            what = "must be the name of one folder: letters, digits, . _ + = - and no dot at first"
            found.append(Problem("suite.name", self.name, what, "rename it"))
        return found

    def benchmark_problems(self) -> list[Problem]:
        """Benchmarks that are none, and a folder of files that is not named."""
        remedy = f"choose among: {', '.join(BENCHMARKS)}"
        found = [
            Problem("suite.benchmarks", name, "no such benchmark", remedy)
            for name in self.benchmarks
            if name not in BENCHMARKS
        ]
        outside = [name for name, benchmark in self._known().items() if benchmark.folder is None]
        if outside and self.data_dir is None:
            what = f"needed for the files of {', '.join(outside)}"
            remedy = "set it to their folder, or leave these benchmarks out"
            found.append(Problem("suite.data_dir", None, what, remedy))
        return found

    def missing_benchmark_files(self) -> list[Problem]:
        """Benchmarks of which no file is there."""
        folder = self.data_folder()
        if folder is None:
            return []
        remedy = "put it there, or leave the benchmark out"
        return [
            Problem("suite.benchmarks", name, f"no file {folder / one.pattern}", remedy)
            for name, one in self._known().items()
            if not one.files(folder)
        ]

    def _known(self) -> dict[str, Benchmark]:
        return {name: BENCHMARKS[name] for name in self.benchmarks if name in BENCHMARKS}
