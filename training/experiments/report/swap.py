"""Figures 11 and 12: how like B a song A grows in rhythm or pitch classes when it has B's
latent, beside shuffled pairs."""

from collections.abc import Mapping
from typing import Any

from training.evaluation.latent_swap import VECTORS
from training.evaluation.markdown import document, grid, ranged
from training.experiments.plan import Cell, Plan, cells
from training.experiments.report import figures
from training.experiments.scores import spread
from training.experiments.store import Store

MODELS = ("ec2vae", "gan_cvae", "musemorphose", "vanilla", "lstm", "semg_gmvae")
LATENTS = {"z_r": "rhythm", "z_k": "pitch_classes"}
SIDES = ("with_own", "with_other", "with_shuffled", "unrelated")


def cells_of(plan: Plan) -> list[Cell]:
    """What is trained and measured."""
    return [cell for model in MODELS for cell in cells(plan, model)]


def report(
    store: Store, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Similarities by latent and feature, as JSON values and in Markdown, and swap.png."""
    rows, pairs = list[dict[str, Any]](), 0
    for model in MODELS:
        found = [measured[cell.name]["swapped"] for cell in cells(store.plan, model)]
        for latent in LATENTS if found else ():
            pairs = found[0]["pairs"]
            likeness = {
                name: {side: spread(found, latent, name, side) for side in SIDES}
                for name in VECTORS
            }
            moved = [{name: _moved(one[latent][name]) for name in VECTORS} for one in found]
            told = {name: spread(moved, name) for name in VECTORS}
            rows.append(
                {"model": model, "latent": latent, "similarity": likeness, "moved": told}
            )
    panels = {
        f"{latent} of B: {name}, cosine": {
            row["model"]: row["similarity"][name] for row in rows if row["latent"] == latent
        }
        for latent in LATENTS
        for name in VECTORS
    }
    figures.bars(panels, SIDES, store.out / "swap.png")
    return {"pairs": pairs, "rows": rows}, _text(rows, pairs, len(store.plan.seeds))


def _moved(likeness: Mapping[str, float | None]) -> float | None:
    """How much liker B than another pair's B; None of a single pair."""
    other, shuffled = likeness["with_other"], likeness["with_shuffled"]
    return None if other is None or shuffled is None else other - shuffled


def _text(rows: list[dict[str, Any]], pairs: int, seeds: int) -> str:
    texts = [
        f"# Figures 11 and 12: exchanged latents, {pairs} pairs of test songs, {seeds} seeds",
        "Mean cosine (eq. 20) of the changed song with A, whose other latent it has; with B, whose latent it was "
        "given; with the B of another pair; and of A with B as they were. Cosines of counts are high for any two "
        "songs, so what an exchange moves is `with B` less `with another's B`. Mean over seeds, least and most. A "
        "latent should move its own feature and leave the other alone. MuseMorphose and GAN-CVAE have one latent: a "
        "half goes with an attribute, rhythm's density with z_r, polyphony with z_k. EC2-VAE writes a melody alone. "
        "The paper draws these figures without numbers.",
    ]  # fmt: skip
    for latent, own in LATENTS.items():
        for name in VECTORS:
            lines = [
                [
                    row["model"],
                    *(ranged(row["similarity"][name][side], 3) for side in SIDES),
                    ranged(row["moved"][name], 3),
                ]
                for row in rows
                if row["latent"] == latent
            ]
            says = "its own feature" if name == own else "the other's feature"
            head = ["model", "with A", "with B", "with another's B", "A with B", "moved"]
            texts += [
                f"## {latent} exchanged: {name.replace('_', ' ')} ({says})",
                grid(head, lines),
            ]
    return document(texts)
