"""Plots of a release as a whole: what was left out, labels, splits, sizes, meters,
duplicates; each with its sentence."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from pipelines.report.aggregates import MOST_TOKENS, Bars
from pipelines.report.figures import (
    BLUE,
    CORAL,
    GREY,
    INK,
    QUADRANT_COLOURS,
    TEAL,
    Plot,
    bars,
    draw,
    grid,
    row_height,
)
from schemas.labels import QUADRANT_CLASSES

# A bar of the models: what stands behind this many tokens is cut there.
TOKENS_OF_A_BAR = 128
MOST_ROWS = 12
# Where a quadrant's count stands: in a margin above or below the density, which it would
# hide.
_CORNERS = {
    "happy": (1, 1.055),
    "tense": (0, 1.055),
    "sad": (0, -0.055),
    "calm": (1, -0.055),
}


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


def plane(songs: pa.Table, thresholds: Mapping[str, Any] | None) -> Plot:
    """The valence-arousal plane with density, thresholds and the counts of the
    quadrants."""
    title = "Valence and arousal"
    labelled = songs.filter(
        pc.and_(pc.is_valid(songs["valence"]), pc.is_valid(songs["arousal"]))
    )
    if not labelled.num_rows or not thresholds:
        return Plot(title, "No song of this release has a label.")
    valence, arousal = (
        labelled[axis].to_numpy().astype(float) for axis in ("valence", "arousal")
    )
    counts = Counter(labelled["quadrant"].to_pylist())

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hexbin(
            valence,
            arousal,
            gridsize=26,
            extent=(0, 1, 0, 1),
            cmap="Blues",
            mincnt=1,
            linewidths=0.1,
            bins="log",
        )
        axes.axvline(thresholds["valence"], color=INK, linewidth=1)
        axes.axhline(thresholds["arousal"], color=INK, linewidth=1)
        for name, (x, y) in _CORNERS.items():
            axes.text(
                x, y, f"{name} {counts[name]:,}", ha="right" if x else "left", va="center"
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.11, 1.11), xlabel="valence", ylabel="arousal")
        axes.set_yticks(np.linspace(0, 1, 6))

    tied = (
        float(np.corrcoef(valence, arousal)[0, 1])
        if labelled.num_rows > 2 and valence.std() and arousal.std()
        else 0.0
    )
    most = max(QUADRANT_CLASSES, key=lambda name: counts[name])
    says = (
        f"Of {labelled.num_rows:,} labelled songs {counts[most] / labelled.num_rows:.0%} are {most}; the two axes correlate "
        f"by {tied:.2f}; the lines are the thresholds, valence {thresholds['valence']:.3f} and arousal "
        f"{thresholds['arousal']:.3f}."
    )
    return Plot(title, says, draw("plane", 4.4, paint))


def balance(quadrants: Mapping[str, Mapping[str, int]]) -> Plot:
    """Shares of the quadrants among each split's labelled songs."""
    title = "Class balance by split"
    totals = {split: sum(by.values()) for split, by in quadrants.items()}
    if not sum(totals.values()):
        return Plot(title, "No song of this release has a label, so there are no classes.")
    names = [
        name
        for name in next(iter(quadrants.values()))
        if sum(by[name] for by in quadrants.values())
    ]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for row, (split, by) in enumerate(quadrants.items()):
            left = 0.0
            for name in names:
                share = by[name] / max(totals[split], 1)
                axes.barh(
                    row,
                    share,
                    left=left,
                    color=QUADRANT_COLOURS[name],
                    height=0.62,
                    label=name if not row else None,
                )
                if share >= 0.08:
                    axes.text(
                        left + share / 2,
                        row,
                        f"{share:.0%}",
                        ha="center",
                        va="center",
                        fontsize=11,
                    )
                left += share
        axes.set_yticks(
            range(len(totals)), [f"{split}\n{n:,}" for split, n in totals.items()]
        )
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set(xlim=(0, 1), xticks=[])
        axes.invert_yaxis()
        axes.spines[["bottom", "left"]].set_visible(False)
        figure.legend(
            loc="outside lower center",
            ncols=min(len(names), 5),
            handlelength=0.9,
            columnspacing=0.8,
            handletextpad=0.4,
        )

    train = next(iter(quadrants))
    shares = {name: quadrants[train][name] / max(totals[train], 1) for name in names}
    most, least = (
        max(names, key=lambda name: shares[name]),
        min(names, key=lambda name: shares[name]),
    )
    says = f"In {train} the largest class is {most} with {shares[most]:.0%}, the smallest {least} with {shares[least]:.0%}"
    others = [split for split in totals if split != train and totals[split]]
    gap = max(
        (abs(quadrants[s][n] / totals[s] - shares[n]) for s in others for n in names),
        default=0.0,
    )
    return Plot(
        title,
        f"{says}; no other split's share is more than {100 * gap:.0f} points away.",
        draw("balance", 2.6, paint),
    )


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

    says = f"The middle song has {middle:,.0f} {what} (line), nine in ten have {low:,.0f} to {high:,.0f}, all together "
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

    says = f"{over:.1%} of {total:,} bars have more than {TOKENS_OF_A_BAR} tokens (red); the middle bar has {middle}."
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


def spread(songs: pa.Table) -> Plot:
    """How far the labels of one song's matches lie apart."""
    title = "Label spread"
    labels = songs.filter(pc.is_valid(songs["valence"]))["label_spread"]
    values = labels.drop_null().to_numpy().astype(float)
    if not len(values):
        return Plot(
            title, f"Of {len(labels):,} labelled songs none has matches that could differ."
        )
    apart = values[values > 0]
    says = f"The matches of {len(values) - len(apart):,} of {len(values):,} labelled songs agree"
    if not len(apart):
        return Plot(title, f"{says}: no label differs.")

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(apart, bins=np.linspace(0, 1, 41).tolist(), color=BLUE)
        axes.set(xlabel="range among a song's matches", ylabel="songs")
        axes.set_xlim(0, max(float(apart.max()), 0.1) * 1.05)
        grid(axes)

    says += f"; of the {len(apart):,} drawn here {int((apart > 0.1).sum()):,} differ by more than .1 and "
    return Plot(
        title,
        says + f"{int((apart > 0.2).sum()):,} by more than .2.",
        draw("spread", 2.9, paint),
    )


def trust(songs: pa.Table) -> Plot:
    """How likely each label's match names the right song."""
    title = "Label trust"
    values = (
        songs.filter(pc.is_valid(songs["valence"]))["label_trust"].drop_null().to_numpy()
    )
    if not len(values):
        return Plot(title, "No song of this release has a label to be trusted.")

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(values, bins=np.linspace(0, 1, 41).tolist(), color=BLUE)
        axes.set(xlabel="label_trust", ylabel="songs", xlim=(0, 1))
        grid(axes)

    n_trusted = int(pc.sum(songs["trusted"]).as_py() or 0)
    says = f"{n_trusted:,} of {len(values):,} labelled songs are trusted; the middle label has a trust of {np.median(values):.2f}."
    return Plot(title, says, draw("trust", 2.9, paint))
