"""Judges: who says of a piece how likely it is high in arousal and in valence, and how far
each can be believed.

A control figure means nothing without a floor and a ceiling: `ceiling` measures every judge
on real songs that neither it nor a generator was taught, `verdicts` lets the same judges
speak of written pieces. Judges are taught the songs that the release sets aside for them,
in windows of as many bars as the network reads; a song's class is the mean of its windows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from schemas.labels import QUADRANTS
from schemas.remi import PAD, RemiConfig
from schemas.song import Song
from training.config import AXES, UNLABELLED, DataConfig, RunConfig
from training.data.loader import crops
from training.data.release import Release, Split, open_release, open_split, prepare
from training.data.views import songs_of, view_song
from training.engine.checkpoint import load_run
from training.errors import RunFailed
from training.evaluation import metrics as measures
from training.evaluation.baselines import Retrieval, RuleEditing
from training.evaluation.handcrafted import Boosting, Rules
from training.evaluation.markdown import CEILING_SAYS, judges_table
from training.evaluation.outputs import evenly
from training.models.judge import Judge as JudgeModel
from training.parts.sampling import SamplingConfig
from training.protocols import Generator, require

BATCH = 32
CALIBRATION_BINS = 10


class Judge(Protocol):
    """name; probability: of high arousal and valence of each song, float (n, 2)."""

    name: str

    def probability(self, songs: Sequence[Song]) -> np.ndarray: ...


@dataclass(frozen=True)
class JudgesConfig(SamplingConfig):
    """split: of the real songs; windows: of each, evenly spaced; resamples: of the
    songs, for 95 % intervals; pieces: written for each quadrant by a generator that is
    judged; and how its tokens are drawn (SamplingConfig)."""

    split: Literal["validation", "test"] = "test"
    windows: int = 6
    resamples: int = 1000
    pieces: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.windows, self.resamples, self.pieces) < 1:
            raise ValueError("windows, resamples and pieces must be at least 1")


class Network:
    """The trained network of models/judge.py."""

    name = "network"

    def __init__(
        self, model: JudgeModel, data: DataConfig, remi: RemiConfig, device: str
    ) -> None:
        self._model, self._data, self._remi, self._device = model, data, remi, device

    @torch.no_grad()
    def probability(self, songs: Sequence[Song]) -> np.ndarray:
        """Of high arousal and valence: float (n, 2)."""
        said = [np.empty((0, 2))]
        for at in range(0, len(songs), BATCH):
            flat = [
                view_song(song, self._data, self._remi).tokens
                for song in songs[at : at + BATCH]
            ]
            tokens = np.full((len(flat), 1, max(map(len, flat))), PAD, np.int64)
            for row, piece in enumerate(flat):
                tokens[row, 0, : len(piece)] = piece
            logits, _ = self._model.logits(torch.from_numpy(tokens).to(self._device))
            said.append(
                np.stack([logits[axis].softmax(-1)[:, 1].cpu().numpy() for axis in AXES], 1)
            )
        return np.concatenate(said)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of real songs: songs, one a window; song (n) the row each comes from;
    label (n, 2)."""

    songs: list[Song]
    song: np.ndarray
    label: np.ndarray


def windows_of(
    split: Split, chosen: np.ndarray, data: DataConfig, per_song: int
) -> Windows:
    """Evenly spaced windows of data.bars bars of the labelled songs among `chosen`, bool
    (n_songs), that are long enough."""
    rows = np.flatnonzero(
        chosen & (split.labels != UNLABELLED).any(1) & (split.n_bars >= data.bars)
    )
    song, start = evenly(split, rows, data.bars, per_song)
    batch = crops(split, song, start, data.bars, data.tokens_per_bar, split.labels[song])
    return Windows(songs_of(batch.tokens), song, batch.label)


def taught_judges(
    network: Network, split: Split, data: DataConfig, asked: JudgesConfig
) -> list[Judge]:
    """The network as it is, and the rules and the boosting taught the same songs of the
    training split."""
    taught = windows_of(split, split.judge, data, asked.windows)
    return [
        Rules().fit(taught.songs, taught.label),
        Boosting(asked.seed).fit(taught.songs, taught.label),
        network,
    ]


def load_judge(run: str, release: Release, device: str) -> tuple[JudgeModel, RunConfig]:
    """A trained judge and its settings; RunFailed where the run is none, or is of another
    release."""
    model, config, facts = load_run(run, device)
    if not isinstance(model, JudgeModel) or config.data.songs != "judges":
        raise RunFailed(
            f"{run} is no judge: give a run of kind judge that was trained with data.songs = judges"
        )
    if facts["release"] != release.sha256:
        raise RunFailed(
            f"{run} was trained on another release than {release.url}: train the judge on this one"
        )
    return model, config


def refuse_unfit(
    config: RunConfig, facts: Mapping[str, Any], release: Release, heard: DataConfig
) -> None:
    """Raise RunFailed where a generator may have been taught the judges' songs, or
    writes other tracks than they have heard."""
    if facts["release"] != release.sha256:
        raise RunFailed(
            f"run {config.name} is of another release than {release.url}: it may have seen the judges' songs"
        )
    refuse_settings(config, heard)


def refuse_settings(config: RunConfig, heard: DataConfig) -> None:
    """The part of refuse_unfit that needs no checkpoint."""
    if config.data.songs == "judges":
        raise RunFailed(
            f"run {config.name} was taught the judges' songs (data.songs): they cannot judge it"
        )
    if set(config.data.tracks) != set(heard.tracks):
        tracks = ", ".join(config.data.tracks)
        raise RunFailed(
            f"run {config.name} writes {tracks} and the judges heard other tracks: train a judge with its data.tracks"
        )


def ceiling(judges: Sequence[Judge], real: Windows, asked: JudgesConfig) -> dict[str, Any]:
    """Of each judge and axis, over songs: accuracy, balanced accuracy, AUC with intervals,
    calibration; the quadrants; and window_balanced, over single windows."""
    songs, first = np.unique(real.song, return_index=True)
    label = real.label[first]
    report: dict[str, Any] = {}
    for judge in judges:
        by_window = judge.probability(real.songs)
        said = np.stack([by_window[real.song == song].mean(0) for song in songs])
        report[judge.name] = {
            axis: {
                **_believed(
                    said[label[:, index] >= 0, index],
                    label[label[:, index] >= 0, index],
                    asked,
                ),
                "window_balanced": _of_windows(by_window[:, index], real.label[:, index]),
            }
            for index, axis in enumerate(AXES)
        }
        both = (label != UNLABELLED).all(1)
        report[judge.name]["quadrants"] = measures.accuracies(
            (said[both] > 0.5) @ [2, 1], label[both] @ [2, 1]
        )
        known = (real.label != UNLABELLED).all(1)
        if known.any():
            right = ((by_window > 0.5) == real.label)[known].all(1)
            report[judge.name]["quadrants"]["window_accuracy"] = float(right.mean())
    return report


def _of_windows(said: np.ndarray, label: np.ndarray) -> float | None:
    """Balanced accuracy over single windows, which is the ceiling of written pieces, a
    window each; None of a single class."""
    if len(np.unique(label[label >= 0])) < 2:
        return None
    return float(
        measures.accuracies((said > 0.5)[label >= 0].astype(int), label[label >= 0])[
            "balanced"
        ]
    )


def _believed(said: np.ndarray, label: np.ndarray, asked: JudgesConfig) -> dict[str, Any]:
    found = measures.accuracies((said > 0.5).astype(int), label) | {
        "auc": measures.auc(said, label)
    }
    random, drawn = np.random.default_rng(asked.seed), []
    for _ in range(asked.resamples):
        rows = random.integers(0, len(said), len(said))
        one = measures.accuracies((said[rows] > 0.5).astype(int), label[rows])
        drawn.append(
            (one["accuracy"], one["balanced"], measures.auc(said[rows], label[rows]))
        )
    intervals = {}
    for name, values in zip(
        ("accuracy", "balanced", "auc"), np.array(drawn).T, strict=True
    ):
        # A resample of few songs may lack a class, and has no AUC then.
        if not np.isnan(values).all():
            intervals[f"{name}_interval"] = np.nanpercentile(values, [2.5, 97.5]).tolist()
    return {
        **found,
        **intervals,
        "brier": float(((said - label) ** 2).mean()),
        "calibration_error": calibration(said, label),
    }


def calibration(said: np.ndarray, label: np.ndarray) -> float:
    """Expected calibration error: mean gap between the chance said and the share that
    was high, in ten bins of chance."""
    bins = np.minimum((said * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(said[bins == one].sum() - label[bins == one].sum()) for one in np.unique(bins)
    ]
    return float(sum(gaps) / len(said))


def pieces_of(
    generator: Generator, bars: int, asked: JudgesConfig
) -> tuple[list[Song], np.ndarray]:
    """As many pieces of every quadrant, and the classes that each was asked to have, (n,
    2)."""
    songs = list[Song]()
    for levels in QUADRANTS:
        songs += generator.generate(
            dict(zip(AXES, levels, strict=True)), asked.pieces, bars, asked
        )
    return songs, np.repeat(list(QUADRANTS), asked.pieces, axis=0)


def verdicts(
    judges: Sequence[Judge], songs: Sequence[Song], wanted: np.ndarray
) -> dict[str, Any]:
    """How often each judge hears what was asked for; and the AUC, which needs no
    threshold."""
    report: dict[str, Any] = {}
    for judge in judges:
        chance = judge.probability(songs)
        said = (chance > 0.5).astype(int)
        report[judge.name] = {
            axis: {
                **measures.accuracies(said[:, of], wanted[:, of]),
                "auc": measures.auc(chance[:, of], wanted[:, of]),
            }
            for of, axis in enumerate(AXES)
        }
        report[judge.name]["quadrants"] = measures.accuracies(
            said @ [2, 1], wanted @ [2, 1]
        )
    return report


def judge(
    run: str,
    generator: str,
    release: str,
    out: str,
    asked: JudgesConfig,
    cache: str | None = None,
    device: str = "cpu",
) -> str:
    """Write OUT/judges.json and .md: judges on real songs, retrieved and edited ones and a
    generator's pieces; the Markdown."""
    opened = open_release(release)
    model, config = load_judge(run, opened, device)
    writers: dict[str, Generator] = {}
    if generator:
        found, its_config, its_facts = load_run(generator, device)
        refuse_unfit(its_config, its_facts, opened, config.data)
        writers[its_config.name] = require(found, Generator)
    folder = prepare(opened, config.data, cache)
    training, split = open_split(folder, "train"), open_split(folder, asked.split)
    judges = taught_judges(
        Network(model, config.data, opened.remi, device), training, config.data, asked
    )
    real = windows_of(split, np.ones(len(split.ids), bool), config.data, asked.windows)
    report = {"real": ceiling(judges, real, asked)}
    texts = [judges_table(report["real"], f"{CEILING_SAYS} The {asked.split} split.")]
    plain: dict[str, Generator] = {
        rival.name: rival(training, config.data) for rival in (Retrieval, RuleEditing)
    }
    for name, writer in (plain | writers).items():
        report[name] = verdicts(judges, *pieces_of(writer, config.data.bars, asked))
        texts.append(
            judges_table(report[name], f"{asked.pieces} pieces of each quadrant by {name}.")
        )
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    (place / "judges.json").write_text(
        json.dumps(measures.rounded(report), indent=2) + "\n"
    )
    (place / "judges.md").write_text("\n".join(texts))
    return "\n".join(texts)
