"""Views: a song as models read it (REMI bars, rhythm, key), and the song that a model's
tokens say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schemas.grid import Grid, quantise
from schemas.keys import NO_KEY
from schemas.remi import (
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
from training.config import ViewConfig

# Which track's note stays longest where a position is thinned: the paper asks for a piano,
# then what carries the harmony.
TRACK_STAYS = np.array([2, 0, 3, 1, 4])


@dataclass(frozen=True, eq=False)
class View:
    """tokens: uint16; bar_offset: int64, n_bars + 1; rhythm: uint8 (n_bars, 16); key:
    uint8 (n_bars); bars_over, notes, notes_cut: bars longer than tokens_per_bar, notes
    heard, notes that did not fit."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    bars_over: int
    notes: int
    notes_cut: int


def view_row(row: Mapping[str, Any], config: ViewConfig, remi: RemiConfig) -> View:
    """A release row as a model reads it: its stored tokens where they serve, else
    encoded anew from its notes."""
    key = np.asarray(row["key"], np.uint8)
    if (
        set(config.tracks) == set(TRACKS)
        and row["tokens_per_bar_max"] <= config.tokens_per_bar
    ):
        rhythm = np.asarray(row[f"rhythm_{config.rhythm}"], np.uint8).reshape(-1, N_BEATS)
        offset = np.asarray(row["remi_bar_offset"], np.int64)
        return View(
            np.asarray(row["remi"], np.uint16),
            offset,
            np.minimum(rhythm, config.max_count),
            key,
            0,
            row["n_notes"],
            0,
        )
    return view_song(from_row(row), config, remi, key)


def view_song(
    song: Song, config: ViewConfig, remi: RemiConfig, key: np.ndarray | None = None
) -> View:
    """Any song as a model reads it; key: one a bar, none where not given. Rhythm counts the
    notes before thinning."""
    heard = _with_notes(
        song, np.isin(song.notes["track"], [TRACKS.index(name) for name in config.tracks])
    )
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
    key = np.full(len(song.bars), NO_KEY, np.uint8) if key is None else key
    return View(tokens, offset, rhythm, key, int(over.sum()), len(heard.notes), cut)


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


def song_of(tokens: np.ndarray, name: str = "generated") -> Song:
    """The song that generated tokens say, in bars of 4/4, playable (see `separate`)."""
    said = decode(tokens)
    notes = separate(said.notes)
    needed = covered_ticks(notes)
    bars = (
        said.bars
        if said.bars["start"][-1] + said.bars["length"][-1] >= needed
        else regular_bars(needed)
    )
    return Song("generated", name, notes, bars, said.tempi, "assumed_4_4")


def songs_of(tokens: np.ndarray) -> list[Song]:
    """The songs that padded crops (n, T, L) say."""
    return [song_of(piece[piece != PAD].astype(np.uint16)) for piece in tokens]
