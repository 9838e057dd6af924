"""Figures 6 and 7: control over the share of songs whose label is used, with the same
seeds and budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.config import AXES
from training.evaluation.markdown import (
    CEILING_SAYS,
    between,
    document,
    grid,
    judges_table,
    ranged,
)
from training.experiments.plan import Cell, Plan, cells
from training.experiments.report import figures
from training.experiments.scores import SEEDS_SAY, best_judge, heard, spread
from training.experiments.store import Store

KINDS = {"accuracy": "accuracy", "auc": "AUC"}
MODELS = ("ssvae", "ccvae", "fadernets", "semg_gmvae")


def cells_of(plan: Plan) -> list[Cell]:
    """What is trained and measured."""
    return [cell for model in MODELS for rho in plan.rhos for cell in _at(plan, model, rho)]


def _at(plan: Plan, model: str, rho: float) -> list[Cell]:
    return cells(plan, model, {"data.supervision": rho})


def report(
    store: Store, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Accuracy and AUC of what is written, and AUC of q(y|x), over rho; as JSON
    values and in Markdown, and rho.png."""
    plan, real = store.plan, store.real()
    judge, rows = best_judge(real), list[dict[str, Any]]()
    for model in MODELS:
        for rho in plan.rhos:
            if found := [measured[cell.name]["judged"] for cell in _at(plan, model, rho)]:
                told = {
                    axis: spread(found, "classes", axis, "ranking_auc") for axis in AXES
                }
                written = heard(found, judge, real)
                rows.append({"model": model, "rho": rho, "written": written, "q": told})
    figures.lines(
        _panels(rows, judge),
        "rho, share of songs whose label is used",
        store.out / "rho.png",
    )
    return {"real": real, "judge": judge, "rows": rows}, _text(rows, judge, real)


def _panels(rows: Sequence[Mapping[str, Any]], judge: str) -> figures.Panels:
    panels: figures.Panels = {}
    for row in rows:
        for axis in AXES:
            of, q = row["written"][axis], row["q"][axis]
            points = {
                f"{axis}: {says} of pieces, heard by {judge}": (
                    of[name],
                    *of[f"{name}_interval"],
                )
                for name, says in KINDS.items()
            }
            points |= (
                {f"{axis}: AUC of q(y|x) of test songs": (q["mean"], q["least"], q["most"])}
                if q
                else {}
            )
            for title, point in points.items():
                panels.setdefault(title, {}).setdefault(row["model"], []).append(
                    (row["rho"], *point)
                )
    return panels


def _text(rows: Sequence[Mapping[str, Any]], judge: str, real: Mapping[str, Any]) -> str:
    lines = [
        [row["model"], f"{row['rho']:g}"]
        + [
            between(row["written"][axis][name], row["written"][axis][f"{name}_interval"])
            for name in KINDS
            for axis in AXES
        ]
        + [ranged(row["q"][axis], 3) for axis in AXES]
        for row in rows
    ]
    written = [f"pieces {axis}, {says}" for says in KINDS.values() for axis in "AV"]
    texts = [
        f"# Figures 6 and 7: accuracy over rho, pieces heard by {judge}",
        f"Pieces: chance .5, 95 % intervals, {SEEDS_SAY} AUC of q(y|x) of real test songs: mean over seeds, least "
        "and most. The paper draws these figures without numbers; by its text GMVAEs are high from .05 on, and CCVAE "
        "and SSVAE gain more a label.",
        judges_table(real, CEILING_SAYS),
        grid(["model", "rho", *written, r"AUC of q(y\|x), A", r"AUC of q(y\|x), V"], lines),
    ]  # fmt: skip
    return document(texts)
