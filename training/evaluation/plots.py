"""Plots of an evaluation: losses, latents along the components, piano rolls and pitch
classes (figures 10, 13-18)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.song import DRUMS, TICKS_PER_QUARTER, TRACKS, Song
from training.data.keys import chroma
from training.engine.log import read_log

COLOURS = ("#9a9a9a", "#1f5fa8", "#2f8f4e", "#8a3ba0", "#d07a1c")
CLASSES = {-1: ("unlabelled", "#c8c8c8"), 0: ("low", "#1f5fa8"), 1: ("high", "#c8442e")}
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def new_figure(
    rows: int, columns: int, size: tuple[float, float]
) -> tuple[Any, np.ndarray]:
    """A figure of size (inches) and its panels, (rows, columns)."""
    # The object interface: no global state and no display is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False))


def curves(log: Path, path: Path) -> None:
    """Every loss term of a run over its steps, training thin and validation with dots."""
    lines = read_log(log)
    rows = {
        kind: [line for line in lines if line["kind"] == kind]
        for kind in ("train", "validation")
    }
    names = [name for name in (rows["train"] or [{}])[0] if name not in ("kind", "step")]
    figure, axes = new_figure(-(-len(names) // 5), 5, (18, 2.6 * -(-len(names) // 5)))
    for axis, name in zip(axes.flat, names, strict=False):
        for kind, style in (("train", "-"), ("validation", "o-")):
            points = [(row["step"], row[name]) for row in rows[kind] if name in row]
            if points:
                axis.plot(
                    *zip(*points, strict=True), style, markersize=3, linewidth=1, label=kind
                )
        axis.set_title(name, fontsize=9)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=80)


def scatter(model: Any, seen: Any, path: Path) -> None:
    """Each song's mean latent: along μ₁ − μ₀ (in σ, the components at the dashed lines) and
    along what else varies most."""
    figure, axes = new_figure(1, 2, (11, 4.6))
    _, first = seen.first_of_songs()
    for index, (name, axis) in enumerate(zip(seen.mean, axes.flat, strict=True)):
        mixture = model.mixtures[name]
        means, sigma = (
            mixture.means.detach().cpu().numpy(),
            float((0.5 * mixture.log_variance).exp()),
        )
        flat, components = along_components(seen.song_means(name), means, sigma)
        for level, (says, colour) in CLASSES.items():
            of = seen.batch.label[first, index] == level
            axis.scatter(*flat[of].T, s=9, color=colour, label=says)
        for component in components:
            axis.axvline(component, linestyle="--", color="#555555", linewidth=1)
        axis.set(
            title=f"{name}: song means",
            xlabel="along the components, σ",
            ylabel="first other direction, σ",
        )
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=90)


def along_components(
    points: np.ndarray, means: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) along μ₁ − μ₀ and along what else varies most, (n, 2), and both
    components along it; in sigma."""
    middle, apart = means.mean(0), means[1] - means[0]
    line = apart / max(float(np.linalg.norm(apart)), 1e-9)
    along = (points - middle) @ line
    rest = points - middle - along[:, None] * line
    across = rest @ np.linalg.svd(rest - rest.mean(0), full_matrices=False)[2][0]
    return np.stack([along, across], 1) / sigma, (means - middle) @ line / sigma


def rolls(songs: Mapping[str, Song], bars: int, path: Path) -> None:
    """Piano roll (tracks by colour, first 8 bars) and pitch-class histogram of each
    song, one row a song."""
    shown = min(bars, 8)
    figure, axes = new_figure(len(songs), 2, (13, 2.8 * len(songs)))
    for (name, song), (roll, histogram) in zip(songs.items(), axes, strict=True):
        for track, colour in enumerate(COLOURS):
            notes = song.notes[song.notes["track"] == track]
            start, end = (
                notes["start"] / TICKS_PER_QUARTER,
                (notes["start"] + notes["duration"]) / TICKS_PER_QUARTER,
            )
            if track == DRUMS:
                roll.plot(
                    start,
                    notes["pitch"],
                    ".",
                    color=colour,
                    markersize=2,
                    label=TRACKS[track],
                )
            else:
                roll.hlines(
                    notes["pitch"],
                    start,
                    end,
                    color=colour,
                    linewidth=2,
                    label=TRACKS[track],
                )
        roll.set(xlim=(0, shown * 4), title=name, xlabel="quarters", ylabel="pitch")
        roll.legend(fontsize=6, loc="upper right")
        weight = chroma(song).sum(0)
        histogram.bar(PITCH_CLASSES, weight / max(weight.sum(), 1), color="#1f5fa8")
        histogram.set(title="pitch classes, share of sounding time")
    figure.savefig(path, dpi=80)
