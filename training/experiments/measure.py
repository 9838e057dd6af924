"""What is measured of one cell: pieces before the judges, latents, exchanges and turned
songs. Each gives plain JSON values."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from schemas.labels import QUADRANTS
from schemas.remi import PAD
from schemas.song import Song
from training.config import AXES, UNLABELLED, DataConfig
from training.data.keys import chroma
from training.data.loader import crops
from training.data.views import padded_pieces, songs_of
from training.errors import RunFailed
from training.evaluation.classifiers import Judge, JudgesConfig
from training.evaluation.handcrafted import feature_table
from training.evaluation.judging import pieces_of
from training.evaluation.latent_swap import similarities
from training.evaluation.metrics import auc, cosine, mean_of, note_f1, rhythm_vector
from training.evaluation.model_reports import class_report, latent_report
from training.evaluation.outputs import ModelOutputs, run_model
from training.evaluation.realism import distance_to_real
from training.evaluation.structure import structure
from training.experiments.plan import Cell
from training.experiments.store import Store
from training.generation.transfer import shift_emotion, song_latents, swap_latents
from training.generation.writing import Writer, in_keys
from training.parts.sampling import SamplingConfig
from training.protocols import (
    Autoencoder,
    Classifier,
    Clustered,
    Decoder,
    Generator,
    require,
)

CROPS, ALL_SONGS = 4, 10**9


def judged(store: Store, cell: Cell) -> dict[str, Any]:
    """What is said of its pieces, and what the model knows."""
    writer = store.model(cell)
    require(writer.model, Generator)
    return {
        **_written(store, writer, replace(store.plan.judging, seed=cell.seed)),
        **(_known(store, writer.model, writer.data) if cell.config else {}),
    }


def steered(store: Store, cell: Cell) -> dict[str, Any]:
    """What is said of its pieces at each strength of the plan; of a plain rival, which has
    none, at 1."""
    writer = store.model(cell)
    strengths = store.plan.strengths if cell.config else (1.0,)
    asked = replace(store.plan.judging, seed=cell.seed)
    return {
        f"{strength:g}": _written(store, writer, replace(asked, strength=strength))
        for strength in strengths
    }


def _written(store: Store, writer: Writer, sampling: JudgesConfig) -> dict[str, Any]:
    """chance: of high, as each judge hears each piece; wanted: what was asked for; own: AUC
    of the model's own odds of its pieces, read again; structure; realism."""
    songs, wanted = pieces_of(writer, store.judge_data.bars, sampling)
    return {
        "wanted": wanted.tolist(),
        "chance": {judge.name: judge.probability(songs).tolist() for judge in store.judges},
        "structure": mean_of([structure(song) for song in songs]),
        "own": own_auc(writer, songs, wanted, store.request.device),
        **_realism(store, songs, wanted),
    }


def own_auc(
    writer: Writer, songs: list[Song], wanted: np.ndarray, device: str
) -> dict[str, float]:
    """AUC of q(y|x), by axis, of pieces (n) for the classes (n, 2) they were written for;
    nothing of a model without."""
    if not isinstance(writer.model, Classifier) or not len(songs):
        return {}
    tokens = torch.from_numpy(padded_pieces(songs, writer.data)).to(device)
    with torch.no_grad():
        odds = writer.model.odds(tokens)
    return {
        axis: auc(odds[axis].mean(1).cpu().numpy(), wanted[:, index])
        for index, axis in enumerate(AXES)
    }


def _realism(store: Store, songs: list[Song], wanted: np.ndarray) -> dict[str, Any]:
    """Distance of hand features to the real songs of each quadrant, and overlap with the
    nearest training bars."""
    written = feature_table(songs)
    distances = {
        name: distance_to_real(
            written[(wanted == levels).all(1)], store.features_of(levels)
        )
        for levels, name in QUADRANTS.items()
    }
    return {"distance_to_real": distances, **store.training_bars.overlap(songs)}


def _known(store: Store, model: Any, data: DataConfig) -> dict[str, Any]:
    """Of the real test songs: likelihood, classes, components."""
    if not isinstance(model, Decoder | Classifier):
        return {}
    outputs = _seen(store, model, data)
    found: dict[str, Any] = {}
    if outputs.nll.size:
        found["nll"] = float(outputs.nll[outputs.batch.target != PAD].mean())
    if isinstance(model, Classifier):
        found["classes"] = class_report(outputs)
    if isinstance(model, Clustered):
        found["latent"] = latent_report(model, outputs)
    return found


def _seen(store: Store, model: Any, data: DataConfig) -> ModelOutputs:
    split = store.split(store.plan.judging.split, data)
    return run_model(model, data, split, ALL_SONGS, CROPS, store.request.device)


def latents(store: Store, cell: Cell) -> dict[str, Any]:
    """Of each axis: the mean latent of every labelled test song, its label, the
    components and their spread."""
    writer = store.model(cell)
    found: dict[str, Any] = {}
    model = require(writer.model, Clustered)
    outputs = _seen(store, model, writer.data)
    _, first = outputs.first_of_songs()
    for index, axis in enumerate(AXES):
        label = outputs.batch.label[first, index]
        points = outputs.song_means(axis)[label != UNLABELLED]
        mixture = model.mixtures[axis]
        found[axis] = {
            "points": points.tolist(), "label": label[label != UNLABELLED].tolist(),
            "components": mixture.means.detach().cpu().numpy().tolist(), "sigma": float((0.5 * mixture.log_variance).exp()),
        }  # fmt: skip
    return found


class Excerpts(NamedTuple):
    """Windows of real songs: tokens (B, T, L) as a model reads them, tonic (B, T) that they
    are written relative to, label (B, 2)."""

    tokens: torch.Tensor
    tonic: np.ndarray
    label: np.ndarray


def excerpts(store: Store, data: DataConfig, seed: int) -> Excerpts:
    """A window of each of plan.songs labelled test songs, drawn with a seed."""
    split, bars = store.split(store.plan.judging.split, data), store.judge_data.bars
    usable = np.flatnonzero((split.labels != UNLABELLED).all(1) & (split.n_bars >= bars))
    random = np.random.default_rng(seed)
    song = random.permutation(usable)[: store.plan.songs]
    if len(song) < 2:
        raise RunFailed(
            f"the {store.plan.judging.split} split has under two labelled songs of {bars} bars"
        )
    start = np.floor(random.random(len(song)) * (split.n_bars[song] - bars + 1)).astype(
        np.int64
    )
    batch = crops(split, song, start, bars, data.tokens_per_bar, split.labels[song])
    tokens = torch.from_numpy(batch.tokens).to(store.request.device).long()
    return Excerpts(tokens, batch.tonic, batch.label)


def swapped(store: Store, cell: Cell) -> dict[str, Any]:
    """Figures 11-12: the similarities of songs whose z_r, or z_k, was exchanged with
    another's; relative to the tonic where the model reads pitch so."""
    writer = store.model(cell)
    model = writer.model
    tokens = excerpts(store, writer.data, cell.seed).tokens
    half = len(tokens) // 2
    z, originals = song_latents(model, tokens), songs_of(tokens.cpu().numpy())
    a, b = originals[:half], originals[half : 2 * half]
    sampling, found = SamplingConfig(0.0, 1.0, cell.seed), {}
    for axis, name in zip(AXES, ("z_r", "z_k"), strict=True):
        changed = model.write(swap_latents(z[:half], z[half : 2 * half], axis)[0], sampling)
        found[name] = similarities(changed, a, b, store.judge_data.bars)
    return {**found, "pairs": half}


def turned(store: Store, cell: Cell) -> dict[str, Any]:
    """Table 4: songs turned from their own emotion to each by eq. (21), and how judges hear
    them.

    turned: of each judge, source and target, the share heard as each quadrant; a source
    turned to itself is written again. untouched: of each judge and source, the same of the
    songs as they were. kept: of each source and target, how like the song is to what it was.
    n: songs of each source.
    """
    reads = store.model(cell)
    clustered, writer = require(reads.model, Clustered), require(reads.model, Autoencoder)
    tokens, tonic, labels = excerpts(store, reads.data, cell.seed)
    z = song_latents(reads.model, tokens)
    sampling = replace(store.plan.judging, seed=cell.seed)
    found: dict[str, Any] = {"turned": {}, "untouched": {}, "kept": {}, "n": {}}
    for source, name in QUADRANTS.items():
        of_source = np.flatnonzero((labels == source).all(1))
        found["n"][name] = len(of_source)
        if len(of_source):
            own = songs_of(tokens[of_source].cpu().numpy(), tonic[of_source])
            moved = {
                goal: in_keys(
                    writer.write(
                        shift_emotion(
                            clustered, z[of_source], source, target, store.plan.strength
                        ),
                        sampling,
                    ),
                    tonic[of_source],
                )
                for target, goal in QUADRANTS.items()
            }
            found["kept"][name] = {
                goal: _kept(songs, own, store.judge_data.bars)
                for goal, songs in moved.items()
            }
            for judge in store.judges:
                told = {goal: _shares(judge, songs) for goal, songs in moved.items()}
                found["turned"].setdefault(judge.name, {})[name] = told
                found["untouched"].setdefault(judge.name, {})[name] = _shares(judge, own)
    return found


def _kept(changed: list[Song], own: list[Song], bars: int) -> dict[str, float]:
    """How much of each song is left: F1 of its notes, cosines of its onsets and of its pitch
    classes."""
    return mean_of(
        [
            {
                "note_f1": note_f1(one, other, bars)["f1"],
                "rhythm": cosine(rhythm_vector(one, bars), rhythm_vector(other, bars)),
                "pitch_classes": cosine(chroma(one).sum(0), chroma(other).sum(0)),
            }
            for one, other in zip(changed, own, strict=True)
        ]
    )


def _shares(judge: Judge, songs: list[Song]) -> dict[str, float]:
    """Share of songs heard as each quadrant."""
    said = judge.probability(songs) > 0.5
    return {
        name: float((said == levels).all(1).mean()) for levels, name in QUADRANTS.items()
    }
