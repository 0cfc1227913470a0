"""Config of a suite: the tasks that score a model, and the benchmarks to keep out of its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pacos.benchmarks.catalogue import BENCHMARKS, Benchmark
from pacos.configs.stage import is_plain_name
from pacos.errors import Problem
from pacos.suites import SHIPPED_SUITES


@dataclass(kw_only=True, slots=True)
class SuiteConfig:
    """A named set of harness tasks, and the benchmarks behind them."""

    name: str = "???"
    """Name of the suite and of its folder in the results."""
    tasks: list[str] = field(default_factory=list)
    """Names of tasks: YAML files in `folder` (`*` matches several); tasks, groups or tags of the
    harness; or `humaneval` (docs/sandbox.md)."""
    num_fewshot: dict[str, int] = field(default_factory=dict)
    """Few-shot examples per prompt, by task or group; a group's value also applies to its members
    (`mmlu` to `mmlu_anatomy`). Other tasks use the number in their own files. Add a name with
    `+suite.num_fewshot.NAME=5`."""
    rubrics: list[str] = field(default_factory=list)
    """Names of rubrics, each a YAML file in `folder`. The model answers their prompts, and a judge
    scores the answers (docs/geval.md)."""
    folder: str | None = None
    """Folder of YAML files; `shipped:NAME` for one that comes with pacos. Null takes the shipped
    one with the suite's name, if there is one."""
    chat_template: bool = False
    """Write prompts in the model's prompt format, which models that follow instructions expect."""
    chat_choices: bool = True
    """Do so also for tasks that score choices. Most published scores of choices do not."""
    benchmarks: list[str] = field(default_factory=list)
    """Names in pacos/benchmarks/catalogue.py. Generated rows that give away an item of these are
    rejected. Empty compares generated rows with nothing."""
    data_dir: str | None = None
    """Folder of the benchmarks' files, laid out as in docs/suites.md. Null takes rows from the hub,
    and suffices for benchmarks that come with pacos."""

    def directory(self) -> Path:
        """Return the folder of the suite's own files, which need not exist."""
        if self.folder is None or self.folder.startswith("shipped:"):
            return SHIPPED_SUITES / (self.folder or self.name).removeprefix("shipped:")
        return Path(self.folder).expanduser()

    def data_folder(self) -> Path | None:
        """Return the folder of the benchmarks' files; None if rows come from the hub."""
        return None if self.data_dir is None else Path(self.data_dir).expanduser()

    def name_problems(self) -> list[Problem]:
        """Return problems of names that would lead outside the folders they belong to."""
        problems = [
            Problem("suite.tasks", name, "must be a name without /", "set suite.folder instead")
            for name in self.tasks
            if "/" in name
        ]
        if self.name != "???" and not is_plain_name(self.name):
            fault = "must be one folder name: letters, digits, . _ + = - and no dot at the start"
            problems.append(Problem("suite.name", self.name, fault, "rename it"))
        return problems

    def benchmark_problems(self) -> list[Problem]:
        """Return problems of unknown benchmarks, and of a missing data folder."""
        remedy = f"choose from: {', '.join(BENCHMARKS)}"
        problems = [
            Problem("suite.benchmarks", name, "no such benchmark", remedy)
            for name in self.benchmarks
            if name not in BENCHMARKS
        ]
        outside = [name for name, benchmark in self._known().items() if benchmark.folder is None]
        if outside and self.data_dir is None:
            fault = f"needed for the files of {', '.join(outside)}"
            remedy = "set it to their folder, or leave these benchmarks out"
            problems.append(Problem("suite.data_dir", None, fault, remedy))
        return problems

    def missing_benchmark_files(self) -> list[Problem]:
        """Return problems of benchmarks without any file."""
        folder = self.data_folder()
        if folder is None:
            return []
        remedy = "put it there, or leave the benchmark out"
        return [
            Problem("suite.benchmarks", name, f"no file {folder / benchmark.pattern}", remedy)
            for name, benchmark in self._known().items()
            if not benchmark.files(folder)
        ]

    def _known(self) -> dict[str, Benchmark]:
        return {name: BENCHMARKS[name] for name in self.benchmarks if name in BENCHMARKS}
