"""Figures of the report: SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in these, shown in what the page's style sheet says of light and dark.
INK, MUTED, RULE, ACCENT = "#010203", "#040506", "#070809", "#0a0b0c"
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
}

SIZE_INCHES = (5.0, 2.7)
"""Small on purpose: the figure fills its column, and its text stays legible on a phone."""

SMOOTH_FROM = 60
"""Points from which a curve also gets a running mean."""

SIMILARITY_BINS = 20
MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the course of a run."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    across: str = "step"
    """What `steps` counts."""
    number: Callable[[float], str] | None = None
    """How a value is written at the axis; None: with as many decimals as the ticks need."""
    from_zero: bool = True
    smooth: bool = True
    """Whether the quantity is noisy, so that a running mean helps the eye."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with what stands above it."""

    title: str
    note: str
    chart: Markup


def curve_chart(curve: Curve, restarts: Sequence[int] = ()) -> Markup:
    """A line over the steps; dashed lines mark the first steps of later lives."""
    # A diverged run has values that no axis reaches.
    points = [point for point in zip(curve.steps, curve.values, strict=True) if isfinite(point[1])]
    steps, values = [step for step, _ in points], [value for _, value in points]

    def draw(axes: Axes) -> None:
        width = smoothing_width(len(values)) if curve.smooth else 1
        if width > 1:
            axes.plot(steps, values, color=ACCENT, linewidth=0.7, alpha=0.45)
            axes.plot(steps, running_mean(values, width), color=ACCENT, linewidth=1.6)
        else:
            marker = "o" if len(values) <= 25 else ""
            axes.plot(steps, values, color=ACCENT, linewidth=1.5, marker=marker, markersize=3)
        for step in restarts:
            axes.axvline(step, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.margins(x=0.02)
        if curve.from_zero:
            axes.set_ylim(bottom=0, top=max(values, default=0) * 1.08 or 1)
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.locator_params(axis="y", nbins=5)
        if (number := curve.number) is not None:
            axes.yaxis.set_major_formatter(lambda value, position: number(value))
        axes.set_xlabel(curve.across)

    shown = f"{curve.values[0]:.4g} first, {curve.values[-1]:.4g} last"
    return _svg(f"{curve.name} by {curve.across}: {shown}", draw)


def length_chart(name: str, lengths: Iterable[int]) -> Markup:
    """Histogram of lengths in words; each second bin edge is twice the one before."""
    counts = Counter(length_bin(length) for length in lengths)
    return _histogram(f"{name}, length in words", counts, lambda at: f"{bin_edge(at):,}", "words")


def similarity_chart(name: str, scores: Iterable[float]) -> Markup:
    """Histogram of scores between 0 and 1."""
    counts = Counter(min(int(score * SIMILARITY_BINS), SIMILARITY_BINS - 1) for score in scores)
    return _histogram(name, counts, lambda at: f"{at / SIMILARITY_BINS:g}", "ROUGE-L F")


def _histogram(name: str, counts: Counter[int], edge: Callable[[int], str], across: str) -> Markup:
    """Bars of equal width for bins that follow each other; `edge` names a bin's lower end."""
    low, high = min(counts), max(counts)
    bins = range(low, high + 1)

    def draw(axes: Axes) -> None:
        axes.bar([at + 0.5 for at in bins], [counts[at] for at in bins], width=0.9, color=ACCENT)
        stride = max(1, ceil(len(bins) / MOST_TICKS))
        edges = range(low, high + 2, stride)
        axes.set_xticks(list(edges), [edge(at) for at in edges])
        axes.set_xlim(low - 0.1, high + 1.1)
        axes.locator_params(axis="y", integer=True, nbins=5)
        axes.set_xlabel(across)

    return _svg(f"{name}: histogram of {counts.total()}", draw)


def smoothing_width(count: int) -> int:
    """Points that the running mean of a curve takes together; 1 for a short curve."""
    return 1 if count < SMOOTH_FROM else count // 25 * 2 + 1


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of the values at most `width // 2` places away, so of fewer at both ends."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    reach, last = width // 2, len(values)
    spans = [(max(0, at - reach), min(last, at + reach + 1)) for at in range(last)]
    return [(sums[end] - sums[start]) / (end - start) for start, end in spans]


def bin_edge(index: int) -> int:
    """Lower edges of the bins of lengths: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    if index < 3:
        return index
    octave, upper_half = divmod(index - 2, 2)
    return (2 + upper_half) << octave


def length_bin(length: int) -> int:
    """Index of the bin that a length falls into."""
    index = 0
    while bin_edge(index + 1) <= length:
        index += 1
    return index


def _svg(description: str, draw: Callable[[Axes], None]) -> Markup:
    """Draw into a figure of its own, without pyplot, and return it as an element of the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": description,
        "font.size": 10,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.color": INK,
        "axes.edgecolor": RULE,
        "axes.labelcolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": RULE,
        "grid.linewidth": 0.8,
        "xtick.color": RULE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "ytick.major.size": 0,
    }
    with matplotlib.rc_context():
        # The page must not depend on the user's own matplotlibrc.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Date", "Creator")))
    return _for_page(out.getvalue(), description)


def _for_page(svg: str, description: str) -> Markup:
    """Cut a stand-alone SVG file down to an element with the page's colours and font."""
    drawing = svg[svg.index("<g ") :]
    # Only paths and clips are referred to; ids of groups would repeat from figure to figure.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    drawing = re.sub(r" ?font-family: [^;]*;", "", drawing)
    drawing = re.sub(r"(\.\d\d)\d+", r"\1", drawing)
    for drawn, shown in PAGE_COLOURS.items():
        drawing = drawing.replace(drawn, shown)
    width, height = (inches * 72 for inches in SIZE_INCHES)
    start = Markup('<svg class="chart" viewBox="0 0 {:.1f} {:.1f}" role="img" aria-label="{}">\n')
    return start.format(width, height, description) + Markup(drawing)
