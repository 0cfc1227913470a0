"""report.html: one self-contained page about a pipeline, or about a run of one stage."""

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
from launch.report.data import DataSection, read_data
from launch.report.provenance import ProvenanceSection, read_provenance
from launch.report.results import NLL, ResultsSection, read_results
from launch.report.stages import StageFacts, read_stages
from launch.report.training import TrainingSection, read_training
from pacos.files import atomic_write
from pacos.run_paths import RunPaths
from pacos.text.duration import duration
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline number at the top of the page."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows. A section without data is None."""

    path: Path
    kind: str
    """`pipeline` or the name of the stage."""
    stages: list[StageFacts]
    data: DataSection | None
    training: TrainingSection | None
    results: ResultsSection | None
    provenance: ProvenanceSection

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def subject(self) -> list[str]:
        """Generator, model and suite, as far as the stages have them."""
        keys = {
            SelfInstructConfig.STAGE: ("generator", "generator.name"),
            SFTConfig.STAGE: ("model", "model.name"),
            EvalConfig.STAGE: ("suite", "suite.name"),
        }
        labelled = [(*keys[stage.name], stage.config) for stage in self.stages]
        return [f"{label} {config[key]}" for label, key, config in labelled if key in config]

    @property
    def missing(self) -> list[str]:
        """The reasons why the report is incomplete."""
        return [stage.missing for stage in self.stages if stage.missing]

    @property
    def tiles(self) -> list[Tile]:
        """The headline numbers of the sections that have data."""
        return [
            *(_result_tiles(self.results) if self.results else ()),
            *(_data_tiles(self.data) if self.data else ()),
            *(_training_tiles(self.training) if self.training else ()),
        ]


def write_report(run: Path) -> Path:
    """Write the report of a run in its present state, and return the path.

    Raises:
        UserError: the folder is no run.
    """
    target = RunPaths(run).report
    # A generator's JSON can contain half a surrogate pair, which UTF-8 cannot encode.
    atomic_write(target, render(read_page(run)).encode(errors="replace"))
    return target


def read_page(run: Path) -> Page:
    """Read everything that the report shows.

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
    """Return the page as HTML. All values are escaped: generated text may contain markup."""
    return load_template("page.html.j2", moment, duration, signed, breakable).render(page=page)


def load_template(name: str, *filters: Callable[..., str]) -> Template:
    """Return a template of this package; it uses the functions as filters, by their names."""
    environment = Environment(
        loader=FunctionLoader(_template_text),
        autoescape=True,
        # A field that was renamed fails here, instead of leaving a gap in the page.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in filters}
    return environment.get_template(name)


def _template_text(name: str) -> str:
    return files("launch.report").joinpath(name).read_text(encoding="utf-8")


def _result_tiles(results: ResultsSection) -> Iterable[Tile]:
    if results.comparison is None:
        return
    for line in results.comparison.lines:
        if line.name == NLL:
            shown = f"{line.before:.3f} → {line.after:.3f}"
            yield Tile("Held-out NLL", shown, f"nats per token; {line.verdict}")
    verdicts = ("better", "worse", "cannot tell")
    better, *others = [f"{results.comparison.count(verdict)} {verdict}" for verdict in verdicts]
    yield Tile("Comparison", better, ", ".join(others))


def _data_tiles(data: DataSection) -> Iterable[Tile]:
    sources = f"{data.generated:,} generated, {data.seeds:,} seeds"
    yield Tile("Rows", quantity(data.rows), sources if data.exported else "generated so far")
    if data.acceptance is not None:
        shown = f"of {data.generated + data.rejected:,} candidates"
        yield Tile("Accepted", f"{100 * data.acceptance:.1f} %", shown)


def _training_tiles(training: TrainingSection) -> Iterable[Tile]:
    supervised = f"{quantity(training.supervised_tokens)} of them supervised"
    yield Tile("Training tokens", quantity(training.tokens), supervised)
    yield Tile("Steps", f"{training.steps:,}", f"{training.epochs:.3g} epochs")
    yield Tile("Training loss", f"{training.last_loss:.3f}", f"from {training.first_loss:.3f}")
    rate = f"{training.tokens_per_second:,.0f} tokens/s in the median step"
    yield Tile("Time in steps", duration(training.step_seconds), rate)


def signed(value: float) -> str:
    """Format a difference, with a minus sign as wide as the plus."""
    return f"{value:+.3f}".replace("-", "−")


def breakable(name: str) -> Markup:
    """Return a name that may break across lines after each `/` and `_`."""
    # Escaped first: the name comes from a config, and only the <wbr> may be markup.
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))


def moment(seconds: float) -> str:
    """Format a point in time, in UTC so that the page does not depend on the machine."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def quantity(count: float) -> str:
    """Format a count: three significant digits above a million, in full below."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,.0f}"
