"""Piano rolls: a few songs drawn whole enough to be looked at, track by track, with their keys
and their density."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from pipelines.features.key.estimate import follow
from pipelines.features.key.settings import KeyConfig
from pipelines.report.aggregates import read_song
from pipelines.report.figures import GREY, INK, MUTED, TRACK_COLOURS, Plot, draw
from schemas.grid import quantise
from schemas.keys import KEY_NAMES, N_KEYS
from schemas.labels import QUADRANT_CLASSES
from schemas.rhythm import POSITIONS
from schemas.row import from_row
from schemas.settings import SettingsError, build
from schemas.song import DRUMS, TRACKS, Song

N_SONGS = 6
# From the start of a song: as many as stay readable on a phone.
MOST_BARS = 24


def choose(songs: pa.Table, n: int = N_SONGS) -> list[int]:
    """Rows of songs to draw: one of each quadrant, then one without a label of each source,
    then what is left.

    Within each, trusted labels first, then more tracks, then the smallest label_rank:
    nothing is left to taste.
    """
    n_tracks = np.array(
        [sum(count > 0 for count in counts) for counts in songs["track_notes"].to_pylist()],
        np.int64,
    )
    rank, trusted = songs["label_rank"].to_numpy(), songs["trusted"].to_numpy()
    order = np.lexsort((rank, -n_tracks, ~trusted.astype(bool))).tolist()
    quadrant, source = songs["quadrant"].to_pylist(), songs["source"].to_pylist()
    kinds = [(None, name) for name in QUADRANT_CLASSES] + [
        (name, None) for name in sorted(set(source))
    ]
    firsts = [
        next(
            (row for row in order if quadrant[row] == mood and name in (None, source[row])),
            None,
        )
        for name, mood in kinds
    ]
    return list(dict.fromkeys([*(row for row in firsts if row is not None), *order]))[:n]


def piano_rolls(release: str, songs: pa.Table, manifest: Mapping[str, Any]) -> list[Plot]:
    """The chosen songs as figures."""
    plots = []
    for number, row in enumerate(choose(songs)):
        facts = {name: songs[name][row].as_py() for name in songs.column_names}
        whole = read_song(
            release, manifest["shards"][facts["shard"]]["path"], facts["song_id"]
        )
        plots.append(roll(number, from_row(whole), whole, manifest["config"]["key"]))
    return plots


def roll(
    number: int, song: Song, row: Mapping[str, Any], key_settings: Mapping[str, Any]
) -> Plot:
    """One song: a strip for each track it uses, its keys (24 rows, as dark as they are
    sure), notes a sixteenth."""
    n_bars = min(len(song.bars), MOST_BARS)
    edges = np.append(
        song.bars["start"], song.bars["start"][-1] + song.bars["length"][-1]
    ).astype(float)
    notes = song.notes[song.notes["start"] < edges[n_bars]]
    # Time in bars, so that every strip has the same scale whatever the meter.
    start, end = (
        np.interp(ticks, edges, np.arange(len(edges)))
        for ticks in (notes["start"], notes["start"] + notes["duration"])
    )
    used = [track for track in range(len(TRACKS)) if (notes["track"] == track).any()]
    sure = key_track(row, song, key_settings)[:n_bars]

    def paint(figure: Figure) -> None:
        strips = figure.subplots(
            len(used) + 2, 1, sharex=True, height_ratios=[1] * len(used) + [1.8, 0.8]
        )
        for axes, track in zip(strips, used, strict=False):
            mine = notes["track"] == track
            _strip(
                axes,
                start[mine],
                np.minimum(end[mine], n_bars),
                notes["pitch"][mine],
                track,
            )
        _keys(strips[-2], sure)
        _density(strips[-1], np.asarray(row["rhythm_onsets"])[: n_bars * POSITIONS], n_bars)
        strips[-1].set_xlim(0, n_bars)
        figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0)

    height = 0.5 * len(used) + 2.1
    says = _says(row, song, used, n_bars)
    return Plot(_title(row), says, draw(f"song{number}", height, paint))


def _strip(
    axes: Axes, start: np.ndarray, end: np.ndarray, pitch: np.ndarray, track: int
) -> None:
    """The notes of one track as one path: a line for each, as long as it sounds."""
    low, high = int(pitch.min()), int(pitch.max())
    path = Path(
        np.round(
            np.stack(
                [
                    start,
                    pitch,
                    np.maximum(end, start + (0.08 if track == DRUMS else 0.03)),
                    pitch,
                ],
                axis=1,
            ).reshape(-1, 2),
            3,
        ),
        np.tile([Path.MOVETO, Path.LINETO], len(start)),
    )
    thick = float(np.clip(30 / (high - low + 3), 0.9, 2.6))
    axes.add_patch(
        PathPatch(
            path,
            fill=False,
            edgecolor=TRACK_COLOURS[track],
            linewidth=thick,
            capstyle="butt",
        )
    )
    axes.set_ylim(low - 2, high + 2)
    axes.set_yticks([])
    axes.set_ylabel(TRACKS[track], rotation=0, ha="right", va="center")
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines["bottom"].set_color("#e3e7ec")
    axes.spines["left"].set_visible(False)


def _keys(axes: Axes, sure: np.ndarray) -> None:
    """24 rows of shade, C major at the foot; the rows that matter most are named."""
    shape = (0, len(sure), -0.5, N_KEYS - 0.5)
    axes.imshow(
        sure.T,
        aspect="auto",
        origin="lower",
        extent=shape,
        cmap="Greys",
        vmin=0,
        vmax=1,
        interpolation="none",
    )
    axes.axhline(11.5, color=GREY, linewidth=0.6)
    named: list[int] = []
    for key in np.argsort(-sure.sum(axis=0), kind="stable").tolist():
        if sure[:, key].sum() > 0.5 and all(abs(key - other) >= 5 for other in named):
            named.append(key)
    axes.set_yticks(sorted(named), [KEY_NAMES[key] for key in sorted(named)])
    axes.tick_params(axis="y", length=2, labelcolor=INK)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _density(axes: Axes, onsets: np.ndarray, n_bars: int) -> None:
    """Notes that start in each sixteenth."""
    at = np.arange(len(onsets) + 1) / POSITIONS
    axes.stairs(onsets, at, fill=True, color=MUTED)
    axes.set_yticks([])
    axes.set_ylabel("density", rotation=0, ha="right", va="center")
    axes.set_xlabel("bars")
    axes.set_xticks(range(0, n_bars + 1, 4 if n_bars > 8 else 1))


def key_track(
    row: Mapping[str, Any], song: Song, settings: Mapping[str, Any]
) -> np.ndarray:
    """How likely each key is in each bar: float64[n_bars, 24].

    The posterior that the row's key was taken from, where settings (the manifest's [key])
    followed it; else, and for settings of another version, the row's confidence at its key
    and 0 elsewhere.
    """
    with suppress(SettingsError):
        if settings["method"] == "hmm":
            return follow(song, quantise(song), build(KeyConfig, settings)).chance
    sure = np.zeros((len(row["key"]), N_KEYS + 1))
    sure[np.arange(len(sure)), row["key"]] = row["key_confidence"]
    return sure[:, :N_KEYS]


def _title(row: Mapping[str, Any]) -> str:
    """What a song is called, or what it is matched to, which may be wrong."""
    if row["title"]:
        return f"{row['title']}" + (f", {row['artist']}" if row["artist"] else "")
    if row["msd_title"]:
        return f"matched to “{row['msd_title']}”" + (
            f", {row['msd_artist']}" if row["msd_artist"] else ""
        )
    return str(row["song_id"])


def _says(row: Mapping[str, Any], song: Song, used: Sequence[int], n_bars: int) -> str:
    mood = "without a label"
    if row["valence"] is not None:
        mood = f"{row['quadrant'] or 'without a class'}, valence {row['valence']:.2f} and arousal {row['arousal']:.2f}"
    key = KEY_NAMES[row["song_key"]]
    tracks = "1 track" if len(used) == 1 else f"{len(used)} tracks"
    return (
        f"{row['song_id']} is {mood}; {key if row['song_key'] < N_KEYS else 'no key'}, {row['mean_bpm']:.0f} quarters a "
        f"minute, {len(song.notes):,} notes in {len(song.bars)} bars; drawn are bars 1 to {n_bars} of {tracks}."
    )
