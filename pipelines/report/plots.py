"""Plots of a release as a whole: what was left out, labels, splits, sizes, meters,
duplicates; each with its sentence."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from pipelines.report.aggregates import MOST_TOKENS, Bars
from pipelines.report.figures import (
    BLUE,
    CORAL,
    GREY,
    INK,
    TEAL,
    Plot,
    bars,
    draw,
    grid,
    row_height,
)

# A bar of the models: what stands behind this many tokens is cut there.
TOKENS_OF_A_BAR = 128
MOST_ROWS = 12


def waterfall(name: str, fall: Mapping[str, Any]) -> Plot:
    """Songs of a source in, failing each rule, and kept."""
    failed = {rule: n for rule, n in fall["failed"].items() if n}
    labels = ["songs in", *(rule.replace("_", " ") for rule in failed), "kept"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        colours = [GREY, *[CORAL] * len(failed), TEAL]
        bars(axes, labels, [fall["in"], *failed.values(), fall["kept"]], colours)
        alone = [fall["failed_alone"][rule] for rule in failed]
        axes.barh(range(1, len(failed) + 1), alone, color="#a9503f", height=0.68)

    title = "All sources" if name == "all" else name
    worst = max(failed, key=lambda rule: failed[rule], default=None)
    says = f"{fall['kept']:,} of {fall['in']:,} songs are kept ({fall['kept'] / max(fall['in'], 1):.0%})"
    if worst:
        says += f"; most fail {worst.replace('_', ' ')}: {failed[worst]:,}, of which {fall['failed_alone'][worst]:,} fail "
        says += "nothing else (dark)"
    return Plot(title, says + ".", draw(f"fall-{name}", row_height(len(labels)), paint))


def genres(songs: pa.Table) -> Plot:
    """Songs by source and genre, the most frequent first."""
    pairs = Counter(
        zip(songs["source"].to_pylist(), songs["genre"].to_pylist(), strict=True)
    )
    ordered = sorted(
        pairs.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or "")
    )
    rows = {
        f"{source}: {_short(genre or 'no genre')}": n
        for (source, genre), n in ordered[:MOST_ROWS]
    }
    rest = sum(n for _, n in ordered[MOST_ROWS:])
    rows |= {f"{len(ordered) - MOST_ROWS} others": rest} if rest else {}
    per_source = Counter(songs["source"].to_pylist())

    def paint(figure: Figure) -> None:
        bars(figure.subplots(), list(rows), list(rows.values()))

    says = (
        ", ".join(f"{name} gives {n:,} songs" for name, n in sorted(per_source.items()))
        or "There are no songs"
    )
    named = sum(n for (_, genre), n in pairs.items() if genre)
    says += f"; {named / max(songs.num_rows, 1):.0%} of all have a genre, of {len({g for _, g in pairs if g})} names."
    return Plot(
        "Songs by source and genre", says, draw("genres", row_height(len(rows)), paint)
    )


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def lengths(songs: pa.Table, column: str, what: str) -> Plot:
    """How many bars or notes songs have."""
    values = songs[column].to_numpy()
    title = f"{what.capitalize()} a song"
    if not len(values):
        return Plot(title, "There are no songs.")
    low, middle, high = np.percentile(values, [5, 50, 95])
    most = float(np.percentile(values, 99)) + 1

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(
            np.minimum(values, most), bins=np.linspace(0, most, 46).tolist(), color=BLUE
        )
        axes.axvline(middle, color=INK, linewidth=1)
        axes.set(xlabel=f"{what} (last column: all longer songs)", ylabel="songs")
        axes.set_xlim(0, most)
        grid(axes)

    says = f"The median song has {middle:,.0f} {what} (line), nine in ten have {low:,.0f} to {high:,.0f}, all together "
    return Plot(title, says + f"{int(values.sum()):,}.", draw(column, 2.9, paint))


def tokens(measured: Bars) -> Plot:
    """REMI tokens a bar, with the mark of 128."""
    counts, title = measured.tokens, "REMI tokens a bar"
    total = int(counts.sum())
    if not total:
        return Plot(title, "There are no bars.")
    over = float(counts[TOKENS_OF_A_BAR + 1 :].sum() / total)
    middle = int(np.searchsorted(np.cumsum(counts), total / 2))
    width = 8

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        binned = np.add.reduceat(counts, np.arange(0, MOST_TOKENS, width))
        starts = np.arange(len(binned)) * width
        axes.bar(
            starts,
            binned,
            width,
            align="edge",
            color=[CORAL if start >= TOKENS_OF_A_BAR else BLUE for start in starts],
        )
        axes.axvline(TOKENS_OF_A_BAR, color=INK, linewidth=1)
        axes.annotate(
            f"{TOKENS_OF_A_BAR}",
            (TOKENS_OF_A_BAR, 1),
            (4, -4),
            ("data", "axes fraction"),
            "offset points",
            va="top",
        )
        axes.set(
            xlabel="tokens",
            ylabel="bars",
            xlim=(0, max(_reach(counts, total), 1.5 * TOKENS_OF_A_BAR)),
        )
        axes.ticklabel_format(axis="y", style="plain")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        grid(axes)

    says = f"{over:.1%} of {total:,} bars have more than {TOKENS_OF_A_BAR} tokens (red); the median bar has {middle}."
    return Plot(title, says, draw("tokens", 2.9, paint))


def _reach(counts: np.ndarray, total: int) -> float:
    """Tokens that all but one in two hundred bars stay under."""
    return float(np.searchsorted(np.cumsum(counts), 0.995 * total))


def meters(measured: Bars) -> Plot:
    """Bars by meter."""
    title = "Meters"
    ordered = sorted(measured.meters.items(), key=lambda item: (-item[1], item[0]))
    total = sum(measured.meters.values())
    if not total:
        return Plot(title, "There are no bars.")
    rows = {f"{above}/{below}": n for (above, below), n in ordered[:8]}
    rows |= (
        {f"{len(ordered) - 8} others": total - sum(rows.values())}
        if len(ordered) > 8
        else {}
    )

    def paint(figure: Figure) -> None:
        bars(figure.subplots(), list(rows), list(rows.values()))

    first, n = next(iter(rows.items()))
    says = f"{n / total:.0%} of {total:,} bars are {first}, of {len(ordered)} meter{'s' if len(ordered) > 1 else ''} in all."
    return Plot(title, says, draw("meters", row_height(len(rows)), paint))


def clusters(sizes: Mapping[str, int]) -> Plot:
    """Duplicate clusters by size."""
    title = "Duplicate clusters"
    if not sizes:
        return Plot(title, "No two of the songs that came in are duplicates.")
    ordered = sorted((int(size), n) for size, n in sizes.items())
    rows = {f"{size} songs": n for size, n in ordered[:9]}
    rows |= (
        {f"{ordered[9][0]} to {ordered[-1][0]} songs": sum(n for _, n in ordered[9:])}
        if len(ordered) > 9
        else {}
    )

    def paint(figure: Figure) -> None:
        bars(figure.subplots(), list(rows), list(rows.values()))

    n_songs, n_clusters = sum(size * n for size, n in ordered), sum(n for _, n in ordered)
    says = f"{n_songs:,} of the songs that came in stand in {n_clusters:,} clusters of one piece, the largest of "
    return Plot(
        title, says + f"{ordered[-1][0]}.", draw("clusters", row_height(len(rows)), paint)
    )
