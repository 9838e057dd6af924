"""Label checks: whether the paper's idea shows in the data, that arousal is heard in
rhythm density and valence in the key."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from pipelines.report.aggregates import Bars, separation
from pipelines.report.figures import (
    BLUE,
    CORAL,
    MUTED,
    PALE,
    SAND,
    VIOLET,
    Plot,
    draw,
    grid,
)
from schemas.keys import KEY_NAMES, N_KEYS

# Round the circle of fifths from C, so that neighbours are related.
FIFTHS = [fifth * 7 % 12 for fifth in range(12)]
CLASSES = (0, 1)


def label_checks(bars: Bars, songs: pa.Table) -> str:
    """One sentence: how far arousal shows in rhythm density and valence in mode."""
    arousal, valence = bars.arousal_class, songs["valence_class"].fill_null(-1).to_numpy()
    if not all((arousal == level).any() and (valence == level).any() for level in CLASSES):
        return "This release has no labels to try it on."
    dense = separation(*(bars.onsets_per_bar[arousal == level] for level in CLASSES))
    bright = _balanced(
        [songs["song_key"].to_numpy()[valence == level] for level in CLASSES]
    )
    return (
        f"Arousal by notes a bar: right in {dense:.0%} of pairs, {_verdict(dense)}. Valence by major and minor: right in "
        f"{bright:.0%}, {_verdict(bright)}."
    )


def _balanced(keys: Sequence[np.ndarray]) -> float:
    """How often minor for low and major for high valence is right, both classes counting
    the same; keys: low, high."""
    low, high = (
        float((key[key < N_KEYS] >= 12).mean()) if (key < N_KEYS).any() else 0.5
        for key in keys
    )
    return (low + 1 - high) / 2


def density(onsets: np.ndarray, arousal_class: np.ndarray, per: str) -> Plot:
    """Notes that start in each bar (or second), songs of low arousal against songs of
    high."""
    title = f"Notes a {per}, by arousal"
    low, high = (onsets[arousal_class == level] for level in CLASSES)
    if not len(low) or not len(high):
        return Plot(title, "No song of this release has an arousal class.")

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        bins = np.linspace(0, float(np.percentile(np.append(low, high), 99)), 41).tolist()
        for values, colour, name in (
            (low, BLUE, "low arousal"),
            (high, CORAL, "high arousal"),
        ):
            weights = np.full(len(values), 1 / len(values))
            axes.hist(
                values,
                bins,
                weights=weights,
                color=colour,
                alpha=0.55,
                label=f"{name}: {len(values):,} songs",
            )
        axes.set(
            xlabel=f"notes starting in a {per}",
            ylabel="share of songs",
            ylim=(0, axes.get_ylim()[1] * 1.25),
        )
        axes.set_xlim(0, bins[-1])
        axes.legend(loc="upper right", handlelength=1)
        grid(axes)

    dense = separation(low, high)
    says = (
        f"The median song of high arousal has {np.median(high):.1f} notes a {per}, of low {np.median(low):.1f}; of two songs, "
        f"one of each, that of high arousal is the denser in {dense:.0%} of cases: {_verdict(dense)}."
    )
    return Plot(title, says, draw(f"density-{per}", 3.0, paint))


def modes(bars: Bars, songs: pa.Table) -> Plot:
    """Share of minor, songs of low valence against songs of high, by song's key and by
    bar's."""
    title = "Minor keys, by valence"
    key, valence = (
        songs["song_key"].to_numpy(),
        songs["valence_class"].fill_null(-1).to_numpy(),
    )
    minor = [
        (key[(valence == level) & (key < N_KEYS)] >= 12).astype(float) for level in CLASSES
    ]
    by_bar = [bars.minor_share[bars.valence_class == level] for level in CLASSES]
    if any(not len(values) for values in (*minor, *by_bar)):
        return Plot(title, "No song of this release has a valence class.")
    groups = {"songs in minor": minor, "bars in minor": by_bar}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for level, colour, name in ((0, VIOLET, "low valence"), (1, SAND, "high valence")):
            at = np.arange(len(groups)) + (level - 0.5) * 0.38
            shares = [values[level].mean() for values in groups.values()]
            errors = [_error(values[level]) for values in groups.values()]
            axes.bar(
                at,
                shares,
                0.36,
                yerr=errors,
                color=colour,
                label=f"{name}: {len(minor[level]):,} songs",
            )
            for x, share, error in zip(at, shares, errors, strict=True):
                axes.annotate(
                    f"{share:.0%}",
                    (x, share + error),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                )
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set(ylabel="share, with 95% interval", ylim=(0, axes.get_ylim()[1] * 1.35))
        axes.legend(loc="upper center", ncols=1, handlelength=1)
        grid(axes)

    low, high = (float(values.mean()) for values in minor)
    balanced = _balanced([key[valence == level] for level in CLASSES])
    says = (
        f"{low:.1%} of the songs of low valence are in minor and {high:.1%} of those of high valence; taking major for happy "
        f"would be right in {balanced:.1%} of cases where chance gives 50%: {_verdict(balanced)}."
    )
    return Plot(title, says, draw("modes", 3.2, paint))


def _error(values: np.ndarray) -> float:
    """Half of a 95 % interval of a mean."""
    return float(1.96 * values.std() / np.sqrt(len(values)))


def keys(songs: pa.Table) -> Plot:
    """Songs in each key, round the circle of fifths."""
    title = "Keys"
    counts = np.bincount(songs["song_key"].to_numpy(), minlength=N_KEYS + 1)
    known = int(counts[:N_KEYS].sum())
    if not known:
        return Plot(title, "No song has a key.")
    says = (
        f"{counts[12:N_KEYS].sum() / known:.0%} of {known:,} songs are in minor; the most frequent keys are "
        f"{_most(counts[:N_KEYS])}; {int(counts[N_KEYS]):,} songs have none."
    )
    return Plot(title, says, _circle("keys", [(counts, BLUE, "songs")], "songs"))


def keys_by_valence(songs: pa.Table) -> Plot:
    """The share of each key among songs of low and of high valence."""
    title = "Keys, by valence"
    key, valence = (
        songs["song_key"].to_numpy(),
        songs["valence_class"].fill_null(-1).to_numpy(),
    )
    counts = [
        np.bincount(key[(valence == level) & (key < N_KEYS)], minlength=N_KEYS)
        for level in CLASSES
    ]
    if any(not count.sum() for count in counts):
        return Plot(title, "No song of this release has a valence class.")
    low, high = (count / count.sum() for count in counts)
    most = int(np.abs(high - low).argmax())
    says = (
        f"The key that tells most is {KEY_NAMES[most]}: {low[most]:.1%} of the songs of low valence, {high[most]:.1%} of those "
        f"of high; the two distributions overlap by {np.minimum(low, high).sum():.0%}."
    )
    return Plot(
        title,
        says,
        _circle(
            "keys-valence",
            [(low, VIOLET, "low valence"), (high, SAND, "high valence")],
            "share of songs",
        ),
    )


def _circle(name: str, series: Sequence[tuple[np.ndarray, str, str]], ylabel: str) -> str:
    """Two rows of columns, major above minor, each round the circle of fifths."""

    def paint(figure: Figure) -> None:
        top = max(float(values[:N_KEYS].max()) for values, _, _ in series) * 1.1
        for axes, first, mode in zip(
            figure.subplots(2, 1, sharey=True), (0, 12), ("major", "minor"), strict=True
        ):
            numbers = [first + tonic for tonic in FIFTHS]
            width = 0.8 / len(series)
            for place, (values, colour, label) in enumerate(series):
                at = np.arange(12) + (place - (len(series) - 1) / 2) * width
                axes.bar(at, values[numbers], width, color=colour, label=label)
            axes.set_xticks(range(12), [KEY_NAMES[number].split()[0] for number in numbers])
            axes.set(ylim=(0, top), xlim=(-0.6, 11.6))
            axes.set_title(mode, loc="right")
            axes.tick_params(axis="x", length=0)
            grid(axes)
            axes.spines["bottom"].set_color(PALE)
        figure.supylabel(ylabel, fontsize=11.5, color=MUTED)
        if len(series) > 1:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(
                handles,
                labels,
                loc="outside lower center",
                ncols=len(series),
                handlelength=1,
            )

    return draw(name, 3.6 if len(series) > 1 else 3.3, paint)


def _most(counts: np.ndarray, n: int = 3) -> str:
    order = sorted(range(len(counts)), key=lambda key: (-counts[key], key))[:n]
    return ", ".join(f"{KEY_NAMES[key]} ({counts[key]:,})" for key in order)


def _verdict(rate: float) -> str:
    """How much better than chance a rate of right answers is, in words."""
    over = rate - 0.5
    if over <= -0.02:
        return "it points the other way"
    return (
        "no better than chance"
        if over < 0.02
        else "a faint sign"
        if over < 0.08
        else "a plain sign"
    )
