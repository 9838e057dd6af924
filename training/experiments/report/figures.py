"""Figures of experiments: points with their intervals, lines over a setting, projections,
similarities, confusions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import RunFailed
from training.evaluation.plots import CLASSES, along_components, new_figure

Point = tuple[float, Sequence[float]]
# title -> series -> points (x, value, low, high)
Panels = dict[str, dict[str, list[tuple[float, ...]]]]
PERPLEXITY = 30.0
PALETTE = ("#1f5fa8", "#c8442e", "#2f8f4e", "#8a3ba0", "#d07a1c", "#555555")


def dots(panels: Mapping[str, Mapping[str, Point]], path: Path) -> None:
    """A value with its interval for each name, a panel a title, beside chance."""
    names = list(next(iter(panels.values())))
    figure, axes = new_figure(
        -(-len(panels) // 2), 2, (13, (1 + 0.26 * len(names)) * -(-len(panels) // 2))
    )
    for panel, (title, points) in zip(axes.flat, panels.items(), strict=True):
        for row, (value, (low, high)) in enumerate(points.values()):
            panel.plot([low, high], [row, row], color=PALETTE[0], linewidth=1.5)
            panel.plot([value], [row], "o", color=PALETTE[0], markersize=4)
        panel.axvline(0.5, color="#777777", linestyle=":")
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.invert_yaxis()
        panel.set(title=title)
    figure.savefig(path, dpi=100)


def lines(panels: Panels, label: str, path: Path) -> None:
    """A line a series of points (x, value, low, high), a panel a title."""
    columns = 2 if len(panels) % 3 else 3
    figure, axes = new_figure(
        -(-len(panels) // columns),
        columns,
        (5.2 * columns, 3.6 * -(-len(panels) // columns)),
    )
    for panel, (title, series) in zip(axes.flat, panels.items(), strict=False):
        for colour, (name, points) in zip(PALETTE, series.items(), strict=False):
            x, value, low, high = np.array(sorted(points)).T
            panel.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            panel.plot(x, value, "o-", color=colour, markersize=4, label=name)
        panel.set(title=title, xlabel=label)
        panel.legend(fontsize=7)
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    figure.savefig(path, dpi=100)


def projections(cells: Mapping[str, Mapping[str, Any]], axis: str, path: Path) -> None:
    """Song latents of each cell by t-SNE, and along the line between the component
    means, in sigma; a row a cell."""
    figure, axes = new_figure(len(cells), 2, (10, 3.4 * len(cells)))
    for (title, cell), (left, right) in zip(cells.items(), axes, strict=True):
        points, label, means = (
            np.array(cell[name]) for name in ("points", "label", "components")
        )
        flat, (across, ends) = _tsne(points), along_components(points, means, cell["sigma"])
        for level, (says, colour) in CLASSES.items():
            of = label == level
            if of.any():
                left.scatter(*flat[of].T, s=9, color=colour, label=says)
                right.scatter(*across[of].T, s=9, color=colour, label=says)
        for end in ends:
            right.axvline(end, linestyle="--", color="#555555", linewidth=1)
        left.set(title=f"{axis}, {title}: t-SNE", xticks=[], yticks=[])
        right.set(
            title="between the components, sigma", ylabel="first other direction, sigma"
        )
        left.legend(fontsize=7)
    figure.savefig(path, dpi=80)


def _tsne(points: np.ndarray) -> np.ndarray:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise RunFailed(
            "projections need scikit-learn: install moodroll with its extra [evaluate]"
        ) from error
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(
        points.astype(np.float32)
    )


def bars(
    panels: Mapping[str, Mapping[str, Mapping[str, Any]]], sides: Sequence[str], path: Path
) -> None:
    """A group of bars a model, a bar a side, with least and most over seeds; a panel a
    title."""
    figure, axes = new_figure(-(-len(panels) // 2), 2, (13, 3.6 * -(-len(panels) // 2)))
    for panel, (title, models) in zip(axes.flat, panels.items(), strict=True):
        for at, side in enumerate(sides):
            found = [of[side] for of in models.values()]
            value = np.array([one["mean"] for one in found])
            error = [
                value - [one["least"] for one in found],
                [one["most"] for one in found] - value,
            ]
            place = np.arange(len(models)) + (at - 1.5) * 0.2
            panel.bar(
                place,
                value,
                0.19,
                yerr=np.maximum(error, 0),
                color=PALETTE[at],
                label=side.replace("_", " "),
            )
        panel.set_xticks(range(len(models)), list(models), fontsize=8)
        panel.set(title=title)
    axes.flat[0].legend(fontsize=7, ncols=len(sides))
    figure.savefig(path, dpi=100)


def heat(panels: Mapping[str, np.ndarray], names: Sequence[str], path: Path) -> None:
    """How often the column is heard in songs of the row, the share written in each
    field."""
    figure, axes = new_figure(1, len(panels), (4.4 * len(panels), 4.8))
    for panel, (title, shares) in zip(axes.flat, panels.items(), strict=True):
        panel.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (row, column), share in np.ndenumerate(shares):
            panel.text(
                column,
                row,
                f"{share:.2f}",
                ha="center",
                va="center",
                color="white" if share > 0.5 else "black",
            )
        panel.set_xticks(range(len(names)), names)
        panel.set_yticks(range(len(names)), names)
        panel.set(title=title, xlabel="heard: the target", ylabel="was")
    figure.savefig(path, dpi=100)
