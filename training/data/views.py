"""Views: a song as models read it (REMI bars, rhythm, key), and the song that a model's
tokens say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from schemas.grid import Grid, quantise
from schemas.remi import (
    BAR_TOKEN,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BEATS,
    PAD,
    RemiConfig,
    decode,
    encode,
)
from schemas.rhythm import count_rhythm
from schemas.row import from_row
from schemas.runs import rank_in_group, run_begins
from schemas.song import BASS, DRUMS, TRACKS, Song, covered_ticks, regular_bars, sort_keys
from training.config import DataConfig, ViewConfig
from training.data.keys import (
    from_tonic,
    keys_of,
    relative_key,
    song_key_of,
    to_tonic,
    tonics_of,
)

# Which track's note stays longest where a position is thinned: the paper asks for a piano,
# then what carries the harmony.
TRACK_STAYS = np.array([2, 0, 3, 1, 4])


@dataclass(frozen=True, eq=False)
class View:
    """tokens: uint16; bar_offset: int64, n_bars + 1; rhythm: uint8 (n_bars, 16); key,
    tonic: uint8 (n_bars), the pitch class that was brought to C; bars_over, notes,
    notes_cut: bars longer than tokens_per_bar, notes heard, notes that did not fit."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    tonic: np.ndarray
    bars_over: int
    notes: int
    notes_cut: int


def view_row(row: Mapping[str, Any], config: ViewConfig, remi: RemiConfig) -> View:
    """A release row as a model reads it: its stored tokens where they serve, else
    encoded anew from its notes; keys are the row's where all its tracks are heard."""
    key = np.asarray(row["key"], np.uint8)
    all_tracks = set(config.tracks) == set(TRACKS)
    if (
        all_tracks
        and row["tokens_per_bar_max"] <= config.tokens_per_bar
        and config.pitch == "absolute"
    ):
        rhythm = np.asarray(row[f"rhythm_{config.rhythm}"], np.uint8).reshape(-1, N_BEATS)
        offset = np.asarray(row["remi_bar_offset"], np.int64)
        return View(
            np.asarray(row["remi"], np.uint16),
            offset,
            np.minimum(rhythm, config.max_count),
            key,
            np.zeros_like(key),
            0,
            row["n_notes"],
            0,
        )
    song = from_row(row)
    return view_song(song, config, remi, Keys(key, row["song_key"]) if all_tracks else None)


class Keys(NamedTuple):
    """Key of each bar (n_bars) and of the whole song, 0-23, 24 for none."""

    of_bars: np.ndarray
    of_song: int


def view_song(
    song: Song, config: ViewConfig, remi: RemiConfig, keys: Keys | None = None
) -> View:
    """Any song as a model reads it; keys: told by the tracks that are heard where not given.
    Rhythm counts the notes before thinning."""
    heard = _with_notes(
        song, np.isin(song.notes["track"], [TRACKS.index(name) for name in config.tracks])
    )
    keys = keys or Keys(keys_of(heard).astype(np.uint8), song_key_of(heard))
    heard, key, tonic = _relative(heard, keys, config)
    grid, limit, cut = quantise(heard), config.tokens_per_bar, 0
    rhythm = np.minimum(
        getattr(count_rhythm(grid), config.rhythm), config.max_count
    ).astype(np.uint8)
    encoded = encode(heard, grid, remi)
    lengths = np.diff(encoded.bar_offset).astype(np.int64)
    over = lengths > limit
    if over.any() and config.overflow == "keep_onsets":
        stays = thin(heard.notes, grid, lengths, limit)
        thinned, cut = _with_notes(heard, stays), int((~stays).sum())
        encoded = encode(thinned, quantise(thinned), remi)
    tokens, offset = encoded.tokens, encoded.bar_offset.astype(np.int64)
    if over.any() and config.overflow == "tail":
        inside = np.arange(len(tokens)) - np.repeat(offset[:-1], lengths) < limit
        cut = -(-int((lengths - limit)[over].sum()) // 3)
        tokens, offset = tokens[inside], np.append(0, np.cumsum(np.minimum(lengths, limit)))
    return View(tokens, offset, rhythm, key, tonic, int(over.sum()), len(heard.notes), cut)


def _relative(
    song: Song, keys: Keys, config: ViewConfig
) -> tuple[Song, np.ndarray, np.ndarray]:
    """The song as config.pitch writes it, its keys likewise, and the tonics that were
    brought to C (0 where nothing was)."""
    if config.pitch == "absolute":
        return song, keys.of_bars, np.zeros(len(keys.of_bars), np.uint8)
    tonic = tonics_of(keys.of_bars, keys.of_song, config.pitch == "bar_tonic")
    return to_tonic(song, tonic), relative_key(keys.of_bars, tonic), tonic


def _with_notes(song: Song, keep: np.ndarray) -> Song:
    return replace(song, notes=song.notes[keep])


def thin(notes: np.ndarray, grid: Grid, lengths: np.ndarray, limit: int) -> np.ndarray:
    """Which notes stay, bool, so that every bar of `lengths` tokens comes down to `limit`.

    The fullest positions give first: within a position the inner notes of a track's chord
    (highest stays, in the bass and drums lowest), then whole tracks; of equals the softest.
    So each onset keeps a note as long as it can, and the bar its end, where cutting the
    tail would stop more than half of the long bars before beat 4.
    """
    excess = -(-np.maximum(lengths - limit, 0) // 3)
    said = (
        (notes["pitch"] >= LOWEST_PITCH)
        & (notes["pitch"] <= HIGHEST_PITCH)
        & (grid.position < N_BEATS)
    )
    at = np.flatnonzero(said & (excess[grid.bar] > 0))
    slot, bar, chosen = (grid.bar * N_BEATS + grid.position)[at], grid.bar[at], notes[at]
    track = chosen["track"].astype(np.int64)
    height = chosen["pitch"].astype(int) * np.where(np.isin(track, (BASS, DRUMS)), 1, -1)
    inner = rank_in_group(slot * len(TRACKS) + track, height)
    outer = rank_in_group(slot, inner * len(TRACKS) + TRACK_STAYS[track])
    # First to go: the highest rank in its position, then the softest.
    goes = rank_in_group(bar, -outer * 128 + chosen["velocity"].astype(int)) < excess[bar]
    stays = np.ones(len(notes), bool)
    stays[at[goes]] = False
    return stays


def separate(notes: np.ndarray) -> np.ndarray:
    """Notes as one player a track can play them: of one pitch at one tick the longest, each
    ending where the next begins."""
    line = notes[
        np.lexsort((-notes["duration"], notes["start"], notes["pitch"], notes["track"]))
    ]
    place = (
        (line["track"].astype(np.int64) << 40)
        | (line["pitch"].astype(np.int64) << 32)
        | line["start"]
    )
    first = run_begins(place)
    line, place = line[first].copy(), place[first]
    # The next note of another pitch stands at least 2**32 minus the longest song away.
    line["duration"][:-1] = np.minimum(line["duration"][:-1], np.diff(place))
    return line[np.argsort(sort_keys(line), kind="stable")]


def song_of(
    tokens: np.ndarray, name: str = "generated", tonic: np.ndarray | None = None
) -> Song:
    """The song that generated tokens say, in bars of 4/4, playable (see `separate`); tonic
    (n_bars): where they were written relative to it."""
    said = decode(tokens)
    bars = said.bars
    needed = covered_ticks(said.notes)
    if bars["start"][-1] + bars["length"][-1] < needed:
        bars = regular_bars(needed)
    song = Song("generated", name, said.notes, bars, said.tempi, "assumed_4_4")
    if tonic is not None and tonic.any():
        song = from_tonic(song, tonic)
    return replace(song, notes=separate(song.notes))


def padded_pieces(songs: Sequence[Song], config: DataConfig) -> np.ndarray:
    """Songs as crops of config.bars bars from their start, int64 (n, T, L), empty bars
    where they end before."""
    crops = np.full((len(songs), config.bars, config.tokens_per_bar), PAD, np.int64)
    crops[:, :, 0] = BAR_TOKEN
    for crop, song in zip(crops, songs, strict=True):
        view = view_song(song, config, RemiConfig())
        bars = np.split(view.tokens, view.bar_offset[1:-1])[: config.bars]
        for at, bar in enumerate(bars):
            crop[at, : len(bar)] = bar
    return crops


def songs_of(tokens: np.ndarray, tonic: np.ndarray | None = None) -> list[Song]:
    """The songs that padded crops (n, T, L) say; tonic: (n, T), where they were written
    relative to it."""
    told = [None] * len(tokens) if tonic is None else tonic
    return [
        song_of(piece[piece != PAD].astype(np.uint16), tonic=of_bars)
        for piece, of_bars in zip(tokens, told, strict=True)
    ]
