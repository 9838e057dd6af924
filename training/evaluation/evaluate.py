"""Evaluate: what a trained model knows and what it writes, as one JSON report with
plots, each figure beside its baseline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from schemas.labels import QUADRANTS
from schemas.song import Song
from training.config import AXES, DataConfig
from training.data.cache import Split, open_split, prepare
from training.data.keys import KeyTable
from training.data.release import open_release
from training.data.views import songs_of
from training.engine.checkpoint import load_run
from training.evaluation import metrics as measures
from training.evaluation import plots
from training.evaluation.handcrafted import feature_table
from training.evaluation.latent_swap import similarities
from training.evaluation.model_reports import (
    class_report,
    feature_report,
    latent_report,
    token_report,
)
from training.evaluation.music_metrics import music_metrics
from training.evaluation.outputs import ModelOutputs, run_model
from training.evaluation.probes import leakage_report
from training.evaluation.realism import TrainingBars, distance_to_real
from training.evaluation.structure import structure
from training.generation.transfer import save_songs, swap_latents
from training.generation.writing import Writer
from training.parts.sampling import SamplingConfig
from training.protocols import (
    Autoencoder,
    Classifier,
    Clustered,
    FeaturePredictor,
    Generator,
)

# Fewer real songs of a quadrant have no halves to compare.
LEAST_IN_HALVES = 4


@dataclass(frozen=True)
class EvaluateConfig(SamplingConfig):
    """How much is looked at: songs of the split, crops a song, songs of the training
    split (for n-grams and probes), written pieces a quadrant, pairs whose parts are
    exchanged, probe_steps of each probe; and how tokens are drawn (SamplingConfig)."""

    split: Literal["train", "validation", "test"] = "test"
    songs: int = 400
    crops: int = 4
    training_songs: int = 400
    pieces: int = 5
    pairs: int = 8
    probe_steps: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            min(self.songs, self.crops, self.training_songs) < 1
            or min(self.pieces, self.pairs, self.probe_steps) < 0
        ):
            raise ValueError(
                "songs, crops and training_songs must be at least 1; pieces, pairs and probe_steps 0 or more"
            )


def writing_report(
    model: Autoencoder,
    bars: int,
    settings: EvaluateConfig,
    outputs: ModelOutputs,
    device: str,
    out: Path,
) -> dict[str, Any]:
    """Reconstructions (note F1) and exchanges (eq. 20), beside what unrelated songs
    give; piano rolls of a pair."""
    sampling, (_, firsts) = (
        SamplingConfig(0.0, 1.0, settings.seed),
        outputs.first_of_songs(),
    )
    rows = np.random.default_rng(settings.seed).permutation(firsts)[
        : 2 * min(settings.pairs, len(firsts) // 2)
    ]
    if not len(rows):
        return {}
    half, originals = len(rows) // 2, songs_of(outputs.batch.tokens[rows])
    z = torch.from_numpy(
        np.concatenate([outputs.mean[axis][rows] for axis in AXES], -1)
    ).to(device)
    remade = model.write(z, sampling)
    a, b = originals[:half], originals[half:]
    report: dict[str, Any] = {
        "note_f1": _note_f1(remade, originals, bars),
        "note_f1_of_unrelated": _note_f1(remade, b + a, bars),
    }
    for axis, name in zip(AXES, ("z_r", "z_k"), strict=True):
        changed = model.write(swap_latents(z[:half], z[half:], axis)[0], sampling)
        report[f"exchange_{name}"] = similarities(changed, a, b, bars)
        plots.rolls(
            {"A": a[0], "B": b[0], f"A with {name} of B": changed[0]},
            bars,
            out / f"exchange_{name}.png",
        )
    plots.rolls(
        {"original": originals[0], "reconstruction": remade[0]},
        bars,
        out / "reconstruction.png",
    )
    return report


def _note_f1(found: Sequence[Song], wanted: Sequence[Song], bars: int) -> dict[str, float]:
    return measures.mean_of(
        [
            measures.note_f1(one, other, bars)
            for one, other in zip(found, wanted, strict=True)
        ]
    )


def emotion_report(
    writer: Writer,
    settings: EvaluateConfig,
    training: Split,
    outputs: ModelOutputs,
    out: Path,
) -> dict[str, Any]:
    """Pieces written for each quadrant (kept as MIDI), and real songs of it; how near
    all come to bars trained on."""
    report: dict[str, Any] = {}
    bars = writer.data.bars
    _, firsts = outputs.first_of_songs()
    pieces: list[Song] = []
    for levels, name in QUADRANTS.items():
        songs = writer.write(
            dict(zip(AXES, levels, strict=True)), settings.pieces, bars, settings
        )
        save_songs(
            songs, [f"{name}-{index:03d}" for index in range(len(songs))], str(out / "midi")
        )
        of_class = firsts[(outputs.batch.label[firsts] == levels).all(1)]
        report[name] = _beside_real(songs, _real(outputs, of_class), bars)
        pieces += songs
    trained_on, real = TrainingBars(training), _real(outputs, firsts)
    report["memorisation"] = {
        "written": trained_on.overlap(pieces),
        "real": trained_on.overlap(real),
    }
    return report


def _real(outputs: ModelOutputs, rows: np.ndarray) -> list[Song]:
    """Crops as songs, in their own keys."""
    return songs_of(outputs.batch.tokens[rows], outputs.batch.tonic[rows])


def _beside_real(
    written: Sequence[Song], real: Sequence[Song], bars: int
) -> dict[str, Any]:
    """Mean facts and measures of music.py of both, and their distance beside that of two
    halves of the real songs."""
    facts, real_facts = (
        measures.mean_of([_facts(song, bars) for song in songs])
        for songs in (written, real)
    )
    table, halves = (
        feature_table(real),
        (feature_table(real[::2]), feature_table(real[1::2])),
    )
    return {
        "written": facts,
        "real": {**real_facts, "n": len(real)},
        "distance_to_real": distance_to_real(feature_table(written), table),
        "distance_of_real_halves": distance_to_real(*halves)
        if len(real) >= LEAST_IN_HALVES
        else float("nan"),
    }


def _facts(song: Song, bars: int) -> dict[str, float]:
    return measures.song_facts(song, bars) | music_metrics(song) | structure(song)


def reports(
    model: Any,
    data: DataConfig,
    keys: KeyTable | None,
    training: Split,
    split: Split,
    settings: EvaluateConfig,
    device: str,
    out: Path,
) -> dict[str, Any]:
    """Every report that the model's abilities allow."""
    outputs = run_model(model, data, split, settings.songs, settings.crops, device)
    report: dict[str, Any] = {"crops": len(outputs.batch.song)}
    if outputs.nll.size:
        report["tokens"] = token_report(outputs, training)
    if isinstance(model, Autoencoder):
        taught = run_model(model, data, training, settings.training_songs, 1, device)
        report["leakage"] = leakage_report(taught, outputs, settings.probe_steps)
        report["writing"] = writing_report(model, data.bars, settings, outputs, device, out)
    if isinstance(model, FeaturePredictor):
        report["features"] = feature_report(model, outputs, device)
    if isinstance(model, Classifier):
        report["classes"] = class_report(outputs)
    if isinstance(model, Clustered):
        report["latent"] = latent_report(model, outputs)
        plots.scatter(model, outputs, out / "latent.png")
    if isinstance(model, Generator) and settings.pieces:
        writer = Writer(model, data, keys)
        report["emotion"] = emotion_report(writer, settings, training, outputs, out)
    return report


def evaluate(
    run: str,
    release: str,
    out: str,
    settings: EvaluateConfig,
    cache: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Write OUT/report.json, plots and MIDI; the report."""
    model, config, facts = load_run(run, device)
    opened = open_release(release)
    folder, place = prepare(opened, config.data, cache), Path(out)
    place.mkdir(parents=True, exist_ok=True)
    found = reports(
        model,
        config.data,
        KeyTable(facts["keys"]) if facts.get("keys") else None,
        open_split(folder, "train"),
        open_split(folder, settings.split),
        settings,
        device,
        place,
    )
    same = facts["release"] == opened.sha256
    head = {
        "name": config.name,
        "step": facts["step"],
        "same_release": same,
        "split": settings.split,
        "crops": found.pop("crops"),
    }
    if (log := Path(run) / "log.jsonl").exists():
        plots.curves(log, place / "curves.png")
    result = measures.rounded({"run": head, **found})
    (place / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    return result
