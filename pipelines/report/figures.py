"""Figures: one look for every plot, and SVG whose bytes depend on the data alone.

A figure is as wide as a phone shows it (324 units), so that its letters can be read there;
on a wide screen figures stand side by side. Text stays text: it is drawn in the reader's
font, in room measured with a wider one.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, LINE = "#2b3440", "#66717e", "#e3e7ec"
BLUE, TEAL, SAND, CORAL, VIOLET, GREY = (
    "#4f7cac",
    "#5aa69a",
    "#dcae5b",
    "#cf7765",
    "#8a7ab5",
    "#9aa5b1",
)
PALE = "#c9d6e3"
# Light enough for dark numbers on them.
QUADRANT_COLOURS = {
    "happy": "#ecca7e",
    "tense": "#e6a193",
    "sad": "#94b4d9",
    "calm": "#90c9bf",
    "none": "#d5dae0",
}
TRACK_COLOURS = (GREY, BLUE, SAND, CORAL, TEAL)
WIDTH = 4.5  # inches of 72 units
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 11.5, "axes.titlesize": 11.5, "axes.labelsize": 11.5,
    "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": MUTED,
    "xtick.color": MUTED, "ytick.color": MUTED, "text.color": INK, "axes.axisbelow": True, "axes.titlecolor": INK,
    "grid.color": LINE, "figure.facecolor": "none", "axes.facecolor": "none", "svg.fonttype": "none",
    "svg.hashsalt": "moodroll", "path.simplify": True, "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A figure of the report: its heading, one sentence on what it shows, its SVG ("" where
    there is nothing to draw), and the controls that play it ("" where it is no music)."""

    title: str
    says: str
    svg: str = ""
    controls: str = ""


def draw(name: str, height: float, paint: Callable[[Figure], None]) -> str:
    """The SVG of what `paint` puts on a figure of the house's width and look; `name`
    keeps its ids apart on the page."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A genre in a script that the measuring font lacks is still drawn by the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure)
        stream = io.StringIO()
        figure.savefig(
            stream,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return inline(stream.getvalue(), name)


def inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: no prologue, no fixed size, ids of its own."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    return "\n".join(line.rstrip() for line in svg.strip().splitlines())


def bars(
    axes: Axes,
    labels: Sequence[str],
    values: Sequence[float],
    colours: str | Sequence[str] = BLUE,
) -> None:
    """Lying bars from the top down, each with its number behind it."""
    axes.barh(range(len(labels)), values, color=colours, height=0.68)
    for row, value in enumerate(values):
        axes.annotate(
            f"{value:,}",
            (value, row),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=11,
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(0, max([*values, 1]) * 1.22)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)


def grid(axes: Axes, axis: str = "y") -> None:
    """Faint lines behind the data and no ticks on that side."""
    axes.grid(axis=axis, linewidth=0.8)  # type: ignore[arg-type]  # "x" or "y"
    axes.tick_params(axis=axis, length=0)  # type: ignore[arg-type]  # likewise


def row_height(n: int) -> float:
    """Inches for n lying bars."""
    return 0.35 + 0.3 * max(n, 1)
