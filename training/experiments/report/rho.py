"""Figures 6 and 7: control over the share of songs whose label is used, with the same seeds
and budget; and the same over the share of a batch that is labelled at all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


class Curve(NamedTuple):
    """A setting that is varied: its name in the report and its file, its dotted key, the
    plan's field of its values, the head of the report, and what the paper says."""

    name: str
    key: str
    values: str
    title: str
    paper: str

    def cells_of(self, plan: Plan) -> list[Cell]:
        """What is trained and measured."""
        return [
            cell
            for model in MODELS
            for value in getattr(plan, self.values)
            for cell in self.at(plan, model, value)
        ]

    def at(self, plan: Plan, model: str, value: float) -> list[Cell]:
        """A cell a seed at one value."""
        return cells(plan, model, {self.key: value})

    def report(
        self, store: Store, measured: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, Any], str]:
        """Accuracy and AUC of what is written, and AUC of q(y|x), over the values; as JSON
        values and in Markdown, and NAME.png."""
        plan, real = store.plan, store.real()
        judge, rows = best_judge(real), list[dict[str, Any]]()
        for model in MODELS:
            for value in getattr(plan, self.values):
                taken = self.at(plan, model, value)
                if found := [measured[cell.name]["judged"] for cell in taken]:
                    told = {
                        axis: spread(found, "classes", axis, "ranking_auc") for axis in AXES
                    }
                    written = heard(found, judge, real)
                    row = {"model": model, self.name: value, "written": written, "q": told}
                    rows.append(row)
        panels = _panels(rows, judge, self.name)
        figures.lines(panels, self.title, store.out / f"{self.name}.png")
        return {"real": real, "judge": judge, "rows": rows}, _text(rows, judge, real, self)


RHO = Curve(
    "rho",
    "data.supervision",
    "rhos",
    "rho, share of songs whose label is used",
    "The paper draws these figures without numbers; by its text GMVAEs are high from .05 on, and CCVAE and SSVAE gain more a "
    "label.",
)  # fmt: skip
UNLABELLED = Curve(
    "labelled_share",
    "data.labelled_share",
    "labelled_shares",
    "share of a batch that is labelled",
    "At 1 unlabelled songs teach nothing; steps and batches are as many at every share, so that labelled songs are seen less "
    "often where it is smaller.",
)  # fmt: skip


def _panels(rows: Sequence[Mapping[str, Any]], judge: str, name: str) -> figures.Panels:
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
                    (row[name], *point)
                )
    return panels


def _text(
    rows: Sequence[Mapping[str, Any]], judge: str, real: Mapping[str, Any], curve: Curve
) -> str:
    lines = [
        [row["model"], f"{row[curve.name]:g}"]
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
        f"# Over {curve.title}: pieces heard by {judge}",
        f"Pieces: chance .5, 95 % intervals, {SEEDS_SAY} AUC of q(y|x) of real test songs: mean over seeds, least "
        f"and most. {curve.paper}",
        judges_table(real, CEILING_SAYS),
        grid(
            ["model", curve.name, *written, r"AUC of q(y\|x), A", r"AUC of q(y\|x), V"], lines
        ),
    ]  # fmt: skip
    return document(texts)
