"""The λ-curve: how far each emotion is heard, and how unlike real songs pieces become, as
they are written further from the middle between classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.labels import QUADRANT_CLASSES
from training.config import AXES
from training.evaluation.markdown import (
    CEILING_SAYS,
    between,
    document,
    grid,
    judges_table,
    number,
    ranged,
)
from training.experiments.plan import Cell, Plan, cells
from training.experiments.report import figures
from training.experiments.scores import SEEDS_SAY, best_judge, heard, spread
from training.experiments.store import Store

MODELS = ("control", "cvae", "ssvae", "ccvae", "fadernets", "semg_gmvae")
BESIDE = "retrieval"


def cells_of(plan: Plan) -> list[Cell]:
    """What is trained and measured."""
    return [cell for model in (BESIDE, *MODELS) for cell in cells(plan, model)]


def report(
    store: Store, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Control, AUC and distance to real songs over λ, beside retrieval; JSON, Markdown,
    strength.png."""
    plan, real = store.plan, store.real()
    judge, rows = best_judge(real), list[dict[str, Any]]()
    for model in (BESIDE, *MODELS):
        found = [measured[cell.name]["steered"] for cell in cells(plan, model)]
        strengths = plan.strengths if found and model != BESIDE else (1.0,) * bool(found)
        for strength in strengths:
            at = [one[f"{strength:g}"] for one in found]
            rows.append(
                {
                    "model": model,
                    "strength": strength,
                    "written": heard(at, judge, real),
                    "own": _own(at),
                    "distance": _distance(at),
                }
            )
    figures.lines(_panels(rows, judge), "strength", store.out / "strength.png")
    return {"real": real, "judge": judge, "rows": rows}, _text(rows, judge, real)


def _distance(found: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Mean over quadrants of the distance to real songs, with least and most of seeds."""
    means = [
        {"mean": np.nanmean([one["distance_to_real"][name] for name in QUADRANT_CLASSES])}
        for one in found
    ]
    return spread(means, "mean")


def _own(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float] | None]:
    """AUC of the model's own q(y|x) on its pieces, None where it has none."""
    return {axis: spread(found, "own", axis) for axis in AXES}


def _panels(rows: Sequence[Mapping[str, Any]], judge: str) -> figures.Panels:
    panels: figures.Panels = {}
    for row in rows:
        points = {
            f"{axis}: AUC of pieces, heard by {judge}": (
                row["written"][axis]["auc"],
                *row["written"][axis]["auc_interval"],
            )
            for axis in AXES
        }
        points["distance to real songs, deviations"] = tuple(row["distance"].values())
        for title, point in points.items():
            panel = panels.setdefault(title, {})
            panel.setdefault(row["model"], []).append((row["strength"], *point))
    return panels


def _text(rows: Sequence[Mapping[str, Any]], judge: str, real: Mapping[str, Any]) -> str:
    lines = []
    for row in rows:
        of = row["written"]
        aucs = [between(of[axis]["auc"], of[axis]["auc_interval"]) for axis in AXES]
        controls = [number(of[axis]["control"], 2) for axis in AXES]
        within = [number(of["valence"][f"auc_arousal_{level}"], 2) for level in (0, 1)]
        owns = [ranged(row["own"][axis]) for axis in AXES]
        told = [*aucs, *controls, *within, *owns, ranged(row["distance"])]
        lines.append([row["model"], f"{row['strength']:g}", *told])
    head = [
        "model",
        "strength",
        "AUC A",
        "AUC V",
        "control A",
        "control V",
        "AUC V in A0",
        "AUC V in A1",
        "own AUC A",
        "own AUC V",
        "distance",
    ]
    texts = [
        f"# The strength of an emotion: pieces heard by {judge}",
        f"Chance is .5, 95 % intervals, {SEEDS_SAY} Strength 1 is as trained, 0 the middle between "
        "classes; of `control` it is the weight of its guidance. control: the share of the way from chance to what the judge "
        "hears in single real windows. own: the model's own q(y|x) of its pieces, read again: high beside a judge at chance it "
        "says that the judge hears otherwise, low that the decoder is deaf. distance: of hand features to real songs of the "
        "class, mean over quadrants; own and distance: mean over seeds, least and most.",
        judges_table(real, CEILING_SAYS),
        grid(head, lines),
    ]  # fmt: skip
    return document(texts)
