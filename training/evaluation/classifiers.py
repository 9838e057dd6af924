"""Judges: who says of a piece how likely it is high in arousal and in valence, and how far
each can be believed.

A control figure means nothing without a floor and a ceiling: `ceiling` measures every judge
on real songs that neither it nor a generator was taught, `verdicts` lets the same judges
speak of written pieces. Judges are taught the songs that the release sets aside for them,
in windows of as many bars as the network reads; a song's class is the mean of its windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from schemas.remi import PAD, RemiConfig
from schemas.song import Song
from training.config import AXES, UNLABELLED, DataConfig, RunConfig
from training.data.cache import Split
from training.data.loader import crops
from training.data.release import Release
from training.data.views import songs_of, view_song
from training.engine.checkpoint import load_run
from training.errors import RunFailed
from training.evaluation.handcrafted import Boosting, Rules
from training.evaluation.outputs import evenly
from training.models.judge import Judge as JudgeModel
from training.parts.sampling import SamplingConfig

BATCH = 32


class Judge(Protocol):
    """name; probability: of high arousal and valence of each song, float (n, 2)."""

    name: str

    def probability(self, songs: Sequence[Song]) -> np.ndarray: ...


@dataclass(frozen=True)
class JudgesConfig(SamplingConfig):
    """split: of the real songs; windows: of each, evenly spaced; resamples: of the
    songs, for 95 % intervals; pieces: written for each quadrant by a generator that is
    judged; and how its tokens are drawn (SamplingConfig); whole_songs: ask judges of whole
    songs too."""

    split: Literal["validation", "test"] = "test"
    windows: int = 6
    resamples: int = 1000
    pieces: int = 25
    whole_songs: bool = False

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
    return Windows(songs_of(batch.tokens, batch.tonic), song, batch.label)


def taught_judges(
    network: Network, split: Split, data: DataConfig, settings: JudgesConfig
) -> list[Judge]:
    """The network as it is, and the rules and the boosting taught the same songs of the
    training split."""
    taught = windows_of(split, split.judge, data, settings.windows)
    return [
        Rules().fit(taught.songs, taught.label),
        Boosting(settings.seed).fit(taught.songs, taught.label),
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
