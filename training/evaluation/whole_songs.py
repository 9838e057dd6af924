"""Judges of whole songs, where the network hears windows: taught the release's songs for
judges, asked of another split, with intervals over groups of songs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.row import from_row, rows_of
from schemas.song import TRACKS, Song
from training.config import AXES, UNLABELLED
from training.data.release import Release, read_shard
from training.errors import RunFailed
from training.evaluation.ensemble import Ensemble
from training.evaluation.handcrafted import Boosting, Rules
from training.evaluation.markdown import between, grid, number
from training.evaluation.metrics import accuracies, auc

# Accuracy of four quadrants, arousal and valence on EMOPIA's test clips, as published: Hung et
# al. (ISMIR 2021), table 3, and MoFi (2026).
PUBLISHED_ON_EMOPIA: tuple[tuple[str, float, float | None, float | None], ...] = (
    ("EMOPIA: logistic regression", 0.581, 0.849, 0.651),
    ("EMOPIA: LSTM-attention, REMI", 0.615, 0.890, 0.746),
    ("EMOPIA: LSTM-attention, MIDI-like", 0.684, 0.882, 0.833),
    ("MoFi", 0.752, None, None),
)
EMOPIA = "emopia"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Songs with label (n, 2), −1 where there is none, and group, the name of the songs that
    belong together."""

    songs: list[Song]
    label: np.ndarray
    group: np.ndarray


def labelled_songs(
    release: Release, split: str, tracks: Sequence[str], for_judges: bool = False
) -> Labelled:
    """The labelled songs of a split with the notes of some tracks; for_judges: those alone
    that are set aside for judges. RunFailed where there is none."""
    heard = [TRACKS.index(name) for name in tracks]
    songs, labels, groups = [], [], []
    for shard in release.manifest["shards"]:
        if shard["split"] != split:
            continue
        for row in rows_of(read_shard(release, shard)):
            label = [row[f"{axis}_class"] for axis in AXES]
            if label == [None, None] or (for_judges and not row["judge"]):
                continue
            song = from_row(row)
            keep = np.isin(song.notes["track"], heard)
            songs.append(song if keep.all() else _with_notes(song, keep))
            labels.append([UNLABELLED if one is None else one for one in label])
            groups.append(row["group_id"])
    if not songs:
        raise RunFailed(
            f"{release.url} has no labelled song for judges in its {split} split: build it with labels"
        )
    return Labelled(songs, np.array(labels), np.array(groups))


def _with_notes(song: Song, keep: np.ndarray) -> Song:
    return Song(
        song.source,
        song.source_key,
        song.notes[keep],
        song.bars,
        song.tempi,
        song.meter_source,
    )


def whole_song_judges(
    judges: Sequence[Rules | Boosting | Ensemble],
    taught: Labelled,
    asked: Labelled,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Of each judge, once taught: accuracy and AUC of each axis and accuracy of the quadrants, with 95 %
    intervals over resampled groups."""
    report = {}
    for judge in judges:
        judge.fit(taught.songs, taught.label)
        said = judge.probability(asked.songs)
        quadrant = (said > 0.5) @ [2, 1]
        if isinstance(judge, Ensemble):
            quadrant = judge.quadrants(asked.songs).argmax(1)
        report[judge.name] = _measured(said, quadrant, asked, seed, resamples)
    return report


def _measured(
    said: np.ndarray, quadrant: np.ndarray, asked: Labelled, seed: int, resamples: int
) -> dict[str, Any]:
    rows = np.arange(len(said))
    found: dict[str, Any] = _figures(said, quadrant, asked.label, rows)
    drawn = [
        _figures(said, quadrant, asked.label, chosen)
        for chosen in _resampled(asked.group, seed, resamples)
    ]
    for name, figures in found.items():
        for figure in ("accuracy", "auc"):
            values = [one[name].get(figure, np.nan) for one in drawn]
            if figure in figures and np.isfinite(values).any():
                interval = np.nanpercentile(values, [2.5, 97.5])
                figures[f"{figure}_interval"] = interval.tolist()
    return found


def _figures(
    said: np.ndarray, quadrant: np.ndarray, label: np.ndarray, rows: np.ndarray
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for index, axis in enumerate(AXES):
        known = rows[label[rows, index] != UNLABELLED]
        chance, wanted = said[known, index], label[known, index]
        figures[axis] = {
            **accuracies((chance > 0.5).astype(int), wanted),
            "auc": auc(chance, wanted),
        }
    both = rows[(label[rows] != UNLABELLED).all(1)]
    figures["quadrants"] = accuracies(quadrant[both], label[both] @ [2, 1])
    return figures


def _resampled(group: np.ndarray, seed: int, resamples: int) -> list[np.ndarray]:
    """Rows of as many groups, drawn with replacement: clips of one song are no independent
    witnesses."""
    names, code = np.unique(group, return_inverse=True)
    members = [np.flatnonzero(code == one) for one in range(len(names))]
    random = np.random.default_rng(seed)
    return [
        np.concatenate([members[one] for one in random.integers(0, len(names), len(names))])
        for _ in range(resamples)
    ]


def whole_songs_table(
    report: dict[str, Any], split: str, n_taught: int, sources: Sequence[str]
) -> str:
    """The figures as Markdown; where the songs are EMOPIA's, with those that are published."""
    rows = []
    for name, of in report.items():
        cells = [_cell(of[what]) for what in ("quadrants", "arousal", "valence")]
        aucs = [number(of[axis]["auc"]) for axis in ("arousal", "valence")]
        rows.append([name, *cells, *aucs])
    n_songs = report["ensemble"]["quadrants"]["n"]
    text = (
        f"Judges of whole songs, taught {n_taught:,} songs, on {n_songs:,} of the {split} split; "
        "95 % intervals over groups.\n\n"
    )
    if EMOPIA in sources:
        for name, *figures in PUBLISHED_ON_EMOPIA:
            said = [number(one) for one in (*figures, None, None)]
            rows.append([f"{name} (published, on the test clips)", *said])
    head = ["judge", "quadrants", "arousal", "valence", "AUC arousal", "AUC valence"]
    return text + grid(head, rows)


def _cell(figures: dict[str, Any]) -> str:
    if "accuracy" not in figures:
        return number(None)
    return between(figures["accuracy"], figures.get("accuracy_interval", (np.nan, np.nan)))
