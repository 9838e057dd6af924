"""Plots of labels: where songs lie in valence and arousal, how splits balance, how matches spread and are trusted."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from pipelines.report.figures import (
    BLUE,
    CORAL,
    INK,
    PALE,
    QUADRANT_COLOURS,
    Plot,
    draw,
    grid,
)
from schemas.labels import QUADRANT_CLASSES


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


def reliability(labels: Mapping[str, Any]) -> Plot:
    """How often the matched title is right, by tenths of label_trust without the name."""
    title = "Is label_trust a probability?"
    bands = [band for band in labels["audit"]["reliability"].values() if band["songs"]]
    if not bands:
        songs = labels["labelled"]
        return Plot(title, f"Of {songs:,} labelled songs none has a known true name.")
    n = np.array([band["songs"] for band in bands])
    said = np.array([band["trust"] for band in bands])
    right, artist = (
        np.array([band[what] for band in bands]) / n for what in ("title", "artist")
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        error = 1.96 * np.sqrt(right * (1 - right) / n)
        axes.errorbar(said, right, error, fmt="o", color=BLUE, label="title right")
        axes.plot(said, artist, "x", color=CORAL, label="artist too")
        axes.set(xlabel="label_trust without the name", ylabel="share of songs")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper left", handlelength=1)
        grid(axes)

    gap = float((np.abs(said - right) * n).sum() / n.sum())
    says = (
        f"Of {n.sum():,} labelled songs whose true name is known, {right @ n / n.sum():.0%} bear its title and "
        f"{artist @ n / n.sum():.0%} its artist too; title and trust are {gap:.2f} apart on average over tenths "
        "(bars: 95% intervals). Trust is of the title."
    )
    return Plot(title, says, draw("reliability", 3.2, paint))


# Where a quadrant's count stands: in a margin above or below the density, which it would
# hide.
_CORNERS = {
    "happy": (1, 1.055),
    "tense": (0, 1.055),
    "sad": (0, -0.055),
    "calm": (1, -0.055),
}
