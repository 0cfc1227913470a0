"""Charts of the report, as SVG that takes colours and font from the page around it."""

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

# Placeholder colours for matplotlib. The SVG gets variables of the style sheet in their place, so
# that one drawing suits both the light and the dark page.
INK, MUTED, RULE, ACCENT = "#010203", "#040506", "#070809", "#0a0b0c"
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
}

SIZE_INCHES = (5.0, 2.7)
"""Small, because the page scales a chart to its column: text stays legible on a phone."""

MIN_SMOOTHED_POINTS = 60
"""Points that a curve needs to get a running mean."""

SIMILARITY_BINS = 20
"""Bins of a histogram of scores from 0 to 1."""
MAX_TICKS = 8
"""Most labels below a histogram; more would overlap."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity over the course of a run."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    x_label: str = "step"
    """Unit of `steps`."""
    format_value: Callable[[float], str] | None = None
    """Formats the values on the axis; None uses as many decimals as the ticks need."""
    from_zero: bool = True
    """True to start the axis at zero."""
    smooth: bool = True
    """True for a noisy quantity, which gets a running mean."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its title and note."""

    title: str
    note: str
    chart: Markup


def curve_chart(curve: Curve, restarts: Sequence[int] = ()) -> Markup:
    """Draw a curve, with dashed lines at the first steps of later lives."""
    # A diverged run records NaN and infinity, which no axis can show.
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
            # 8 % of air above. The 1 stands for a curve of zeros: matplotlib warns if both ends are
            # equal.
            axes.set_ylim(bottom=0, top=max(values, default=0) * 1.08 or 1)
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.locator_params(axis="y", nbins=5)
        if (format_value := curve.format_value) is not None:
            axes.yaxis.set_major_formatter(lambda value, position: format_value(value))
        axes.set_xlabel(curve.x_label)

    shown = f"{curve.values[0]:.4g} first, {curve.values[-1]:.4g} last"
    return _svg(f"{curve.name} by {curve.x_label}: {shown}", draw)


def length_chart(name: str, lengths: Iterable[int]) -> Markup:
    """Draw a histogram of lengths in words, with two bins for each doubling of the length."""
    counts = Counter(length_bin(length) for length in lengths)
    return _histogram(f"{name}, length in words", counts, lambda at: f"{bin_edge(at):,}", "words")


def similarity_chart(name: str, scores: Iterable[float]) -> Markup:
    """Draw a histogram of scores between 0 and 1."""
    counts = Counter(min(int(score * SIMILARITY_BINS), SIMILARITY_BINS - 1) for score in scores)
    return _histogram(name, counts, lambda at: f"{at / SIMILARITY_BINS:g}", "ROUGE-L F")


def _histogram(
    name: str, counts: Counter[int], edge_label: Callable[[int], str], x_label: str
) -> Markup:
    """Draw bars of equal width for consecutive bins; `edge_label` labels a bin's lower edge."""
    low, high = min(counts), max(counts)
    bins = range(low, high + 1)

    def draw(axes: Axes) -> None:
        axes.bar([at + 0.5 for at in bins], [counts[at] for at in bins], width=0.9, color=ACCENT)
        stride = max(1, ceil(len(bins) / MAX_TICKS))
        edges = range(low, high + 2, stride)
        axes.set_xticks(list(edges), [edge_label(at) for at in edges])
        axes.set_xlim(low - 0.1, high + 1.1)
        axes.locator_params(axis="y", integer=True, nbins=5)
        axes.set_xlabel(x_label)

    return _svg(f"{name}: histogram of {counts.total()}", draw)


def smoothing_width(count: int) -> int:
    """Return the window of a curve's running mean, an odd number of points; 1 for a short curve."""
    # 8 % of the points, and odd, so that the window has a middle.
    return 1 if count < MIN_SMOOTHED_POINTS else count // 25 * 2 + 1


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Return the mean of the values within `width // 2` of each point, fewer at both ends."""
    # Prefix sums: one pass, however wide the window of a long run is.
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    reach, last = width // 2, len(values)
    spans = [(max(0, at - reach), min(last, at + reach + 1)) for at in range(last)]
    return [(sums[end] - sums[start]) / (end - start) for start, end in spans]


def bin_edge(index: int) -> int:
    """Return the lower edge of a bin of lengths: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    if index < 3:
        return index
    octave, upper_half = divmod(index - 2, 2)
    return (2 + upper_half) << octave


def length_bin(length: int) -> int:
    """Return the index of the bin that a length falls into."""
    index = 0
    while bin_edge(index + 1) <= length:
        index += 1
    return index


def _svg(description: str, draw: Callable[[Axes], None]) -> Markup:
    """Draw a chart without pyplot, which would keep global state, and return it for the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        # Letters stay text: they can be searched and take the page's font.
        "svg.fonttype": "none",
        # Fixes the ids of paths and clips, so that the same run gives the same page.
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
        # The page must not depend on the user's matplotlibrc.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Date", "Creator")))
    return _for_page(out.getvalue(), description)


def _for_page(svg: str, description: str) -> Markup:
    """Cut an SVG file down to an element with the page's colours and font."""
    drawing = svg[svg.index("<g ") :]
    # Ids of groups would repeat from chart to chart, and nothing refers to them.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    drawing = re.sub(r" ?font-family: [^;]*;", "", drawing)
    # Two decimals of a point are enough, and halve the size of the page.
    drawing = re.sub(r"(\.\d\d)\d+", r"\1", drawing)
    for drawn, shown in PAGE_COLOURS.items():
        drawing = drawing.replace(drawn, shown)
    width, height = (inches * 72 for inches in SIZE_INCHES)
    start = Markup('<svg class="chart" viewBox="0 0 {:.1f} {:.1f}" role="img" aria-label="{}">\n')
    return start.format(width, height, description) + Markup(drawing)
