"""Tables 2 and 3: how often judges hear the emotion that a piece was written for, by
every model and the plain rivals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from training.experiments.report.paper import PRINTED
from training.experiments.scores import SEEDS_SAY, best_judge, heard, spread
from training.experiments.store import Store

# Labelled songs alone; all songs, the same labels; models that are told no label; what is
# not trained.
TAUGHT: dict[str, dict[str, Any]] = {
    "supervised": {"data.labelled_share": 1.0}, "semi-supervised": {"data.labelled_share": -1.0}, "no labels": {}, "plain": {},
}  # fmt: skip
BOTH = ("supervised", "semi-supervised")
ROWS = {
    "retrieval": ("plain",), "rule_editing": ("plain",),
    "emopia": BOTH, "emotionbox": ("no labels",), "musemorphose": ("no labels",), "gan_cvae": ("no labels",),
    "cvae": ("supervised",), "control": BOTH, "control_guided": BOTH,
    "ec2vae": ("semi-supervised",), "ssvae": BOTH, "ccvae": BOTH, "fadernets": BOTH,
    "vanilla": ("semi-supervised",), "lstm": ("semi-supervised",), "semg_gmvae": BOTH,
}  # fmt: skip
BESIDE = (
    "The NLL a token is of songs written again, z drawn from what the model heard of them: no likelihood, and none of models "
    "that have no such z. own: AUC of the model's q(y|x) of its own pieces, read again: high where judges are at chance, they hear "
    "otherwise; low, the decoder is deaf. A distance is the mean Wasserstein distance of hand features to real songs of the "
    "class, in their standard deviations; it falls with the number of pieces, so that only models are to be compared, and the "
    "last line, one half of a class's real songs to the other, is no floor. Overlap and copies are of bars of four notes and "
    "more. repeated, figures: how much of a bar's notes, and of where they start, an earlier bar of the piece has; answered: the "
    "bar before."
)
STRUCTURE = ("repeated", "figures", "answered")
KINDS = {"accuracy": "accuracy", "auc": "AUC"}
COLUMNS = ("precision", "recall", "f1", "balanced", "control")


class Row(NamedTuple):
    """A line of the tables: a model, what it was taught, a cell a seed."""

    model: str
    taught: str
    cells: list[Cell]


def rows_of(plan: Plan) -> list[Row]:
    """The lines of the plan's models."""
    rows = [
        Row(model, taught, cells(plan, model, TAUGHT[taught]))
        for model, ways in ROWS.items()
        for taught in ways
    ]
    return [row for row in rows if row.cells]


def cells_of(plan: Plan) -> list[Cell]:
    """What is trained and measured."""
    return [cell for row in rows_of(plan) for cell in row.cells]


def report(
    store: Store, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Tables 2 and 3 by every judge, as JSON values and in Markdown, and tables.png."""
    real, rows = store.real(), []
    for row in rows_of(store.plan):
        found = [measured[cell.name]["judged"] for cell in row.cells]
        of_judges = {judge: heard(found, judge, real) for judge in real}
        rows.append(
            {"model": row.model, "taught": row.taught, "judges": of_judges, **_more(found)}
        )
    judge = best_judge(real)
    figures.dots(_points(rows, judge), store.out / "tables.png")
    return {"real": real, "unseen": store.unseen(), "judge": judge, "rows": rows}, _text(
        store, real, judge, rows
    )


def _more(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What else was measured of a row: of each the mean over seeds, the least and the
    most."""
    return {
        "nll": spread(found, "nll"),
        **{f"own_{axis}": spread(found, "own", axis) for axis in AXES},
        **{f"q_{axis}": spread(found, "classes", axis, "ranking_auc") for axis in AXES},
        "distance_to_real": {
            name: spread(found, "distance_to_real", name) for name in QUADRANT_CLASSES
        },
        **{name: spread(found, name) for name in ("nearest_bar", "copied_bars")},
        **{name: spread(found, "structure", name) for name in STRUCTURE},
    }


def _points(
    rows: Sequence[Mapping[str, Any]], judge: str
) -> dict[str, dict[str, tuple[float, list[float]]]]:
    """Accuracy and AUC of each row and axis, with their intervals."""
    return {
        f"{axis}, heard by {judge}: {says}": {
            f"{row['model']}, {row['taught']}": (of[name], of[f"{name}_interval"])
            for row in rows
            for of in [row["judges"][judge][axis]]
        }
        for axis in AXES
        for name, says in KINDS.items()
    }


def _text(
    store: Store, real: Mapping[str, Any], best: str, rows: Sequence[Mapping[str, Any]]
) -> str:
    plan = store.plan
    asked = plan.judging
    texts = [
        f"# Tables 2 and 3: {asked.pieces} pieces a quadrant and seed, seeds {', '.join(map(str, plan.seeds))}",
        f"Temperature {asked.temperature}, top-p {asked.top_p}, {store.judge_data.bars} bars. High is the positive "
        "class; there are as many pieces of both, so chance and majority are .5, and balanced accuracy is accuracy. "
        "AUC needs no threshold: it shows what accuracy hides where all pieces are heard as low, being unlike real "
        "ones. control is the share of the way from chance to what the judge hears in single real windows; a dash "
        f"where it may hear nothing. Intervals: 95 %, {SEEDS_SAY} The paper's figures (per cent) are of another corpus, "
        "another size and its own judge; CVAE's and CCVAE's precision and SSVAE's supervised recall of valence are "
        f"mended as their F1 demands. The judge that hears most in real windows: {best}.",
        judges_table(real, CEILING_SAYS),
    ]  # fmt: skip
    for judge in sorted(real, key=lambda name: (name != best, name)):
        for axis in AXES:
            texts += [f"## {axis}, heard by {judge}", _table(rows, judge, axis)]
    head = ["model", "taught", *real]
    lines = [
        [
            "real windows",
            "",
            *(number(real[judge]["quadrants"]["window_accuracy"]) for judge in real),
        ]
    ]
    lines += [
        [row["model"], row["taught"], *(_quadrants(row, judge) for judge in real)]
        for row in rows
    ]
    texts += ["## The four quadrants together (chance .25)", grid(head, lines)]
    texts += [
        f"## Valence among pieces of one arousal, AUC heard by {best}",
        grid(["model", "taught", "in low arousal", "in high arousal"], _within(rows, best)),
        "## Beside control (mean over seeds, least and most)",
        BESIDE,
        _beside(rows, store.unseen()),
    ]
    return document(texts)


def _within(rows: Sequence[Mapping[str, Any]], judge: str) -> list[list[str]]:
    """Valence within each arousal: what is left of it once loud and fast are the same."""
    return [
        [
            row["model"],
            row["taught"],
            *(
                number(row["judges"][judge]["valence"][f"auc_arousal_{level}"])
                for level in (0, 1)
            ),
        ]
        for row in rows
    ]


def _beside(rows: Sequence[Mapping[str, Any]], unseen: Mapping[str, Any]) -> str:
    """What is measured beside control, and the same of real test songs that no model has
    seen."""
    known = ("nll", *(f"{part}_{axis}" for part in ("q", "own") for axis in AXES))
    copied = ("nearest_bar", "copied_bars")
    lines = [
        [row["model"], row["taught"], *(ranged(row[name], 3) for name in known)]
        + [ranged(row["distance_to_real"][name]) for name in QUADRANT_CLASSES]
        + [ranged(row[name], 3) for name in (*copied, *STRUCTURE)]
        for row in rows
    ]
    distances = [number(unseen[name], 2) for name in QUADRANT_CLASSES]
    lines.append(
        [
            "real test songs, halves",
            *["–"] * (1 + len(known)),
            *distances,
            *(number(unseen[name]) for name in copied),
            *(number(unseen["structure"][name]) for name in STRUCTURE),
        ]
    )
    head = [
        "model",
        "taught",
        "NLL given z ~ q(z\\|x)",
        r"AUC of q(y\|x), A",
        r"AUC of q(y\|x), V",
        "own AUC A",
        "own AUC V",
        *(f"distance, {name}" for name in QUADRANT_CLASSES),
    ]
    return grid(
        [*head, "overlap with the nearest training bar", "copied bars", *STRUCTURE], lines
    )


def _table(rows: Sequence[Mapping[str, Any]], judge: str, axis: str) -> str:
    lines = []
    for row in rows:
        of = row["judges"][judge][axis]
        printed = PRINTED[axis].get((row["model"], row["taught"]))
        ours = [
            *(between(of[name], of[f"{name}_interval"]) for name in KINDS),
            *(number(of[name]) for name in COLUMNS),
        ]
        lines.append(
            [
                row["model"],
                row["taught"],
                *ours,
                " / ".join(f"{one:.2f}" for one in printed or ()) or "–",
            ]
        )
    return grid(
        ["model", "taught", "accuracy", "AUC", *COLUMNS, "paper: acc / pre / rec / F1"],
        lines,
    )


def _quadrants(row: Mapping[str, Any], judge: str) -> str:
    of = row["judges"][judge]["quadrants"]
    return between(of["accuracy"], of["accuracy_interval"])
