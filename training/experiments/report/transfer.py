"""Table 4: songs turned from one emotion to another by eq. (21), and whether judges hear
the one they were turned to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.markdown import CEILING_SAYS, document, grid, judges_table, number
from training.experiments.plan import Cell, Plan, cells
from training.experiments.report import figures
from training.experiments.report.paper import TABLE_4
from training.experiments.scores import best_judge
from training.experiments.store import Store

MODELS = ("fadernets", "semg_gmvae")
NAMES = tuple(TABLE_4)


def cells_of(plan: Plan) -> list[Cell]:
    """What is trained and measured."""
    return [cell for model in MODELS for cell in cells(plan, model)]


def report(
    store: Store, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """The confusion of each model by every judge, of songs turned, written again,
    untouched; JSON, Markdown, transfer.png."""
    real, rows, panels = store.real(), list[dict[str, Any]](), dict[str, np.ndarray]()
    best = best_judge(real)
    for model in MODELS:
        found = [measured[cell.name]["turned"] for cell in cells(store.plan, model)]
        for judge in real if found else ():
            seeds = [_confusions([one], judge) for one in found]
            turned, again, untouched = _confusions(found, judge)
            row = {"turned": turned, "written_again": again, "untouched": untouched}
            gains: dict[str, Any] = {
                "gain": _gain(turned, again),
                "gain_by_seed": [_gain(*one[:2]) for one in seeds],
            }
            gains["kept"] = _kept(found)
            gains["n"] = {
                source: sum(one["n"][source] for one in found) for source in NAMES
            }
            rows.append(
                {
                    "model": model,
                    "judge": judge,
                    **{name: of.tolist() for name, of in row.items()},
                    **gains,
                }
            )
            if judge == best:
                panels |= {
                    "untouched": untouched,
                    f"{model}: turned to it": turned,
                    f"{model}: written again": again,
                }
    figures.heat(panels, NAMES, store.out / "transfer.png")
    return {"real": real, "judge": best, "quadrants": NAMES, "rows": rows}, _text(
        store, real, best, rows
    )


def _confusions(
    found: Sequence[Mapping[str, Any]], judge: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of songs of each source (rows) heard as each target (columns), over all seeds:
    turned to it, only written again, untouched; NaN where no song is of the source."""
    hits, n = np.zeros((3, len(NAMES), len(NAMES))), np.zeros(len(NAMES))
    for one in found:
        for row, source in enumerate(NAMES):
            if count := one["n"][source]:
                turned, untouched = (
                    one["turned"][judge][source],
                    one["untouched"][judge][source],
                )
                shares = [
                    [turned[name][name], turned[source][name], untouched[name]]
                    for name in NAMES
                ]
                hits[:, row] += count * np.array(shares).T
                n[row] += count
    turned, again, untouched = hits / np.where(n > 0, n, np.nan)[:, None]
    return turned, again, untouched


def _kept(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How like a song is to what it was, turned to another emotion and only written again;
    mean over songs of all seeds."""
    sums: dict[str, dict[str, float]] = {}
    n = dict.fromkeys(("turned", "written_again"), 0)
    for one in found:
        for source, goals in one["kept"].items():
            for goal, likeness in goals.items():
                which = "written_again" if goal == source else "turned"
                n[which] += one["n"][source]
                for name, value in likeness.items():
                    of = sums.setdefault(name, dict.fromkeys(n, 0.0))
                    of[which] += value * one["n"][source]
    return {
        name: {which: total / n[which] for which, total in of.items()}
        for name, of in sums.items()
    }


def _gain(turned: np.ndarray, again: np.ndarray) -> float:
    """How much oftener a target is heard once songs are turned to it than when they are
    only written again; of twelve ways."""
    return float(np.nanmean((turned - again)[~np.eye(len(NAMES), dtype=bool)]))


def _text(
    store: Store, real: Mapping[str, Any], best: str, rows: Sequence[Mapping[str, Any]]
) -> str:
    texts = [
        f"# Table 4: songs turned by eq. (21), strength {store.plan.strength:g}",
        "Test songs turned from their own emotion (rows; songs of all seeds) to each (columns): how often the judge "
        "hears the target. In brackets how often it hears that in the same songs only written again by the model, which is "
        "the floor, and untouched, whose diagonal is the ceiling; then what the paper prints. The diagonal is a song written "
        "again. Four quadrants: chance is .25.",
        judges_table(real, CEILING_SAYS),
    ]  # fmt: skip
    for row in sorted(rows, key=lambda row: row["judge"] != best):
        lines = [
            [
                f"{source} ({row['n'][source]})",
                *(_cell(row, at, to) for to in range(len(NAMES))),
            ]
            for at, source in enumerate(NAMES)
        ]
        seeds = ", ".join(f"{gain:+.3f}" for gain in row["gain_by_seed"])
        says = f"Turning makes a target heard {row['gain']:+.3f} oftener than writing again (mean of the ways; by seed {seeds})."
        texts += [
            f"## {row['model']}, heard by {row['judge']}",
            grid(["", *NAMES], lines),
            says + _kept_says(row["kept"]),
        ]
    return document(texts)


def _kept_says(kept: Mapping[str, Mapping[str, float]]) -> str:
    told = ", ".join(
        f"{name.replace('_', ' ')} {of['turned']:.3f} ({of['written_again']:.3f})"
        for name, of in kept.items()
    )
    return f" What is kept of a song, turned (only written again): {told}."


def _cell(row: Mapping[str, Any], at: int, to: int) -> str:
    printed = TABLE_4[NAMES[at]].get(NAMES[to])
    turned, again, untouched = (
        number(row[name][at][to]) for name in ("turned", "written_again", "untouched")
    )
    return f"{turned} ({again}, {untouched})" + (f"; {printed:.2f} %" if printed else "")
