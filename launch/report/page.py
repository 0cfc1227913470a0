"""report.html: one self-contained page on a pipeline run, or on a run of one stage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from eval.config import EvalConfig
from launch.config import PipelineConfig
from launch.report.data import Data, read_data
from launch.report.provenance import Provenance, read_provenance
from launch.report.results import NLL, Results, read_results
from launch.report.stages import StageFacts, read_stages
from launch.report.training import Training, read_training
from pacos.files import atomic_write
from pacos.run_paths import RunPaths
from pacos.text.duration import duration
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the figures at the top."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    path: Path
    kind: str
    """`pipeline` or the name of the stage."""
    stages: list[StageFacts]
    data: Data | None
    training: Training | None
    results: Results | None
    provenance: Provenance

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def subject(self) -> list[str]:
        """What the run is about, from the configs of its stages."""
        keys = {
            SelfInstructConfig.STAGE: ("teacher", "generator.name"),
            SFTConfig.STAGE: ("model", "model.name"),
            EvalConfig.STAGE: ("suite", "suite.name"),
        }
        named = [(*keys[stage.name], stage.config) for stage in self.stages]
        return [f"{what} {config[key]}" for what, key, config in named if key in config]

    @property
    def missing(self) -> list[str]:
        """What keeps the report from being whole."""
        return [stage.missing for stage in self.stages if stage.missing]

    @property
    def tiles(self) -> list[Tile]:
        """The headline figures of the sections that are there."""
        return [
            *(_result_tiles(self.results) if self.results else ()),
            *(_data_tiles(self.data) if self.data else ()),
            *(_training_tiles(self.training) if self.training else ()),
        ]


def write_report(run: Path) -> Path:
    """Write the report of a run into its folder, from what is there; returns its path.

    Raises:
        UserError: the folder is no run.
    """
    target = RunPaths(run).report
    # A teacher's JSON can hold half a surrogate pair, which is no text that can be written.
    atomic_write(target, render(read_page(run)).encode(errors="replace"))
    return target


def read_page(run: Path) -> Page:
    """Read all that the report shows.

    Raises:
        UserError: the folder is no run.
    """
    stages = read_stages(run)
    by_name = {stage.name: stage for stage in stages}
    generation = by_name.get(SelfInstructConfig.STAGE)
    training = by_name.get(SFTConfig.STAGE)
    evaluation = by_name.get(EvalConfig.STAGE)
    return Page(
        path=run.absolute(),
        kind=PipelineConfig.STAGE if len(stages) > 1 else stages[0].name,
        stages=stages,
        data=read_data(generation) if generation else None,
        training=read_training(training) if training else None,
        results=read_results(evaluation) if evaluation else None,
        provenance=read_provenance(run, stages),
    )


def render(page: Page) -> str:
    """The page as HTML. Everything that was generated, or came from a file, is escaped."""
    return load_template("page.html.j2", moment, duration, signed, breakable).render(page=page)


def load_template(name: str, *filters: Callable[..., str]) -> Template:
    """A template of this package, which may use filters under the names of these functions."""
    environment = Environment(
        loader=FunctionLoader(_template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in filters}
    return environment.get_template(name)


def _template_text(name: str) -> str:
    return files("launch.report").joinpath(name).read_text(encoding="utf-8")


def _result_tiles(results: Results) -> Iterable[Tile]:
    if results.comparison is None:
        return
    for line in results.comparison.differences:
        if line.name == NLL:
            shown = f"{line.before:.3f} → {line.after:.3f}"
            yield Tile("Held-out NLL", shown, f"nats per token; {line.verdict}")
    counts = [(results.comparison.count(word), word) for word in ("better", "worse", "cannot tell")]
    better, *others = [f"{count} {word}" for count, word in counts]
    yield Tile("Comparison", better, ", ".join(others))


def _data_tiles(data: Data) -> Iterable[Tile]:
    kinds = f"{data.generated:,} generated, {data.seeds:,} seeds"
    yield Tile("Rows", quantity(data.rows), kinds if data.exported else "generated so far")
    if data.acceptance is not None:
        shown = f"of {data.generated + data.rejected:,} candidates"
        yield Tile("Accepted", f"{100 * data.acceptance:.1f} %", shown)


def _training_tiles(training: Training) -> Iterable[Tile]:
    supervised = f"{quantity(training.supervised_tokens)} of them carry loss"
    yield Tile("Tokens trained on", quantity(training.tokens), supervised)
    yield Tile("Steps", f"{training.steps:,}", f"{training.epochs:.3g} epochs")
    yield Tile("Training loss", f"{training.last_loss:.3f}", f"from {training.first_loss:.3f}")
    rate = f"{training.tokens_per_second:,.0f} tokens/s at the median step"
    yield Tile("Time in steps", duration(training.step_seconds), rate)


def signed(value: float) -> str:
    """A difference, with a minus that is as wide as the plus."""
    return f"{value:+.3f}".replace("-", "−")


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after each of its parts."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))


def moment(seconds: float) -> str:
    """A point in time, in UTC so that the page does not depend on where it is made."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def quantity(count: float) -> str:
    """A count with at most four digits that matter."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,.0f}"
