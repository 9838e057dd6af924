"""Views: a song as models read it (REMI bars, rhythm, key), and what models write as MIDI.

Also the door for any MIDI file a user brings: its instruments go to the five tracks of LPD-5 by program.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.grid import Grid, quantise
from schemas.keys import NO_KEY
from schemas.remi import HIGHEST_PITCH, LOWEST_PITCH, N_BEATS, Decoded, RemiConfig, decode, encode
from schemas.row import from_row
from schemas.song import (
    BAR,
    BASS,
    DRUMS,
    GUITAR,
    PIANO,
    STRINGS,
    TICKS_PER_QUARTER,
    TRACKS,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
    sort_keys,
)  # fmt: skip
from training.config import RunFailed, ViewConfig

# General MIDI programs that LPD-5 gives to each track, every other being Strings; and the one that is written.
PROGRAMS = {PIANO: range(8), GUITAR: range(24, 32), BASS: range(32, 40)}
WRITTEN_PROGRAM = {DRUMS: 0, PIANO: 0, GUITAR: 24, BASS: 32, STRINGS: 48}
MIDI_RESOLUTION = 480
# Which track's note stays longest where a position is thinned: the paper asks for a piano, then what carries the harmony.
TRACK_STAYS = np.array([2, 0, 3, 1, 4])


@dataclass(frozen=True, eq=False)
class View:
    """tokens: uint16; bar_offset: int64, n_bars + 1; rhythm: uint8 (n_bars, 16); key: uint8 (n_bars);
    bars_over, notes, notes_cut: bars longer than tokens_per_bar, notes heard, notes that did not fit."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    bars_over: int
    notes: int
    notes_cut: int


def view_row(row: Mapping[str, Any], config: ViewConfig, remi: RemiConfig) -> View:
    """A release row as a model reads it: its stored tokens where they serve, else encoded anew from its notes."""
    key = np.asarray(row["key"], np.uint8)
    if set(config.tracks) == set(TRACKS) and row["tokens_per_bar_max"] <= config.tokens_per_bar:
        rhythm = np.asarray(row[f"rhythm_{config.rhythm}"], np.uint8).reshape(-1, N_BEATS)
        offset = np.asarray(row["remi_bar_offset"], np.int64)
        return View(np.asarray(row["remi"], np.uint16), offset, np.minimum(rhythm, config.max_count), key, 0, row["n_notes"], 0)
    return view_song(from_row(row), config, remi, key)


def view_song(song: Song, config: ViewConfig, remi: RemiConfig, key: np.ndarray | None = None) -> View:
    """Any song as a model reads it; key: one a bar, none where not given. Rhythm counts the notes before thinning."""
    heard = _with_notes(song, np.isin(song.notes["track"], [TRACKS.index(name) for name in config.tracks]))
    grid = quantise(heard)
    rhythm = np.minimum(count_rhythm(grid)[config.rhythm], config.max_count).astype(np.uint8)
    encoded = encode(heard, grid, remi)
    lengths = np.diff(encoded.bar_offset).astype(np.int64)
    over = lengths > config.tokens_per_bar
    tokens, offset, cut = encoded.tokens, encoded.bar_offset.astype(np.int64), 0
    if over.any() and config.overflow == "keep_onsets":
        stays = thin(heard.notes, grid, lengths, config.tokens_per_bar)
        thinned = _with_notes(heard, stays)
        encoded = encode(thinned, quantise(thinned), remi)
        tokens, offset, cut = encoded.tokens, encoded.bar_offset.astype(np.int64), int((~stays).sum())
    elif over.any():
        inside = np.arange(len(tokens)) - np.repeat(offset[:-1], lengths) < config.tokens_per_bar
        cut = -(-int((lengths - config.tokens_per_bar)[over].sum()) // 3)
        tokens, offset = tokens[inside], np.append(0, np.cumsum(np.minimum(lengths, config.tokens_per_bar)))
    key = np.full(len(song.bars), NO_KEY, np.uint8) if key is None else key
    return View(tokens, offset, rhythm, key, int(over.sum()), len(heard.notes), cut)


def _with_notes(song: Song, keep: np.ndarray) -> Song:
    return Song(song.source, song.key, song.notes[keep], song.bars, song.tempi, song.meter_source)


def thin(notes: np.ndarray, grid: Grid, lengths: np.ndarray, limit: int) -> np.ndarray:
    """Which notes stay, bool, so that every bar of `lengths` tokens comes down to `limit`.

    The fullest positions give first: within a position the inner notes of a track's chord (highest stays, in the bass
    and drums lowest), then whole tracks; of equals the softest. So each onset keeps a note as long as it can, and the
    bar its end, where cutting the tail would stop more than half of the long bars before beat 4.
    """
    excess = -(-np.maximum(lengths - limit, 0) // 3)
    at = np.flatnonzero(
        (excess[grid.bar] > 0)
        & (grid.position < N_BEATS)
        & (notes["pitch"] >= LOWEST_PITCH)
        & (notes["pitch"] <= HIGHEST_PITCH)
    )
    slot, bar, chosen = (grid.bar * N_BEATS + grid.position)[at], grid.bar[at], notes[at]
    track = chosen["track"].astype(np.int64)
    low_first = (track == BASS) | (track == DRUMS)
    height = np.where(low_first, chosen["pitch"].astype(int), -chosen["pitch"].astype(int))
    inner = _rank(slot * len(TRACKS) + track, height)
    outer = _rank(slot, inner * len(TRACKS) + TRACK_STAYS[track])
    # First to go: the highest rank in its position, then the softest.
    goes = _rank(bar, -outer * 128 + chosen["velocity"].astype(int)) < excess[bar]
    stays = np.ones(len(notes), bool)
    stays[at[goes]] = False
    return stays


def _rank(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Place of each value among those of its group, from 0, equal values in the order they came."""
    order = np.lexsort((value, group))
    ordered = group[order]
    index = np.arange(len(group))
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(group)]
    rank = np.empty(len(group), np.int64)
    rank[order] = index - np.maximum.accumulate(np.where(first, index, 0))
    return rank


def count_rhythm(grid: Grid) -> dict[str, np.ndarray]:
    """Notes that start in (`onsets`) and sound in (`sounding`) each of a bar's first 16 sixteenths; int64 (n_bars, 16)."""
    first = np.append(0, np.cumsum(grid.bar_positions))
    start = first[grid.bar] + grid.position
    total = int(first[-1])
    onsets = np.bincount(start, minlength=total)
    ends = np.bincount(np.minimum(start + grid.sixteenths, total), minlength=total + 1)[:-1]
    ended = np.cumsum(ends)
    position = np.arange(N_BEATS)
    inside = position < grid.bar_positions[:, None]
    where = np.where(inside, first[:-1, None] + position, 0)
    return {"onsets": onsets[where] * inside, "sounding": (np.cumsum(onsets) - ended)[where] * inside}


def separate(notes: np.ndarray) -> np.ndarray:
    """Notes as one player a track can play them: of one pitch at one tick the longest, each ending where the next begins."""
    order = np.lexsort((-notes["duration"], notes["start"], notes["pitch"], notes["track"]))
    line = notes[order]
    same = (line["track"][1:] == line["track"][:-1]) & (line["pitch"][1:] == line["pitch"][:-1])
    first = np.append(True, ~(same & (line["start"][1:] == line["start"][:-1])))[: len(line)]
    line = line[first].copy()
    same = (line["track"][1:] == line["track"][:-1]) & (line["pitch"][1:] == line["pitch"][:-1])
    gap = np.where(same, np.diff(line["start"]), np.iinfo(np.int32).max)
    line["duration"][:-1] = np.minimum(line["duration"][:-1], gap)
    return line[np.argsort(sort_keys(line), kind="stable")]


def song_of(tokens: np.ndarray, name: str = "generated") -> Song:
    """The song that generated tokens say, in bars of 4/4, playable (see `separate`)."""
    said: Decoded = decode(tokens)
    notes = separate(said.notes)
    bars = (
        said.bars
        if said.bars["start"][-1] + said.bars["length"][-1] >= covered_ticks(notes)
        else regular_bars(covered_ticks(notes))
    )
    return Song("generated", name, notes, bars, said.tempi, "assumed_4_4")


def write_midi(song: Song, path: str) -> None:
    """A song as a MIDI file through pretty_midi: five tracks with LPD-5's programs, tempo and meter changes."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(_time_map(song))
    scale = MIDI_RESOLUTION // TICKS_PER_QUARTER
    for track, name in enumerate(TRACKS):
        instrument = pretty_midi.Instrument(WRITTEN_PROGRAM[track], is_drum=track == DRUMS, name=name)
        for note in song.notes[song.notes["track"] == track].tolist():
            start, duration, pitch, velocity, _ = note
            times = (midi.tick_to_time(start * scale), midi.tick_to_time((start + duration) * scale))
            instrument.notes.append(pretty_midi.Note(velocity, pitch, *times))
        midi.instruments.append(instrument)
    midi.write(path)


def _time_map(song: Song) -> io.BytesIO:
    """A MIDI file of tempo and meter alone: PrettyMIDI takes changes of tempo from a file and in no other way."""
    import mido

    changed = np.append(
        True, (np.diff(song.bars["numerator"].astype(int)) != 0) | (np.diff(song.bars["denominator"].astype(int)) != 0)
    )
    events = [
        (int(start), mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(float(bpm)))) for start, bpm in song.tempi.tolist()
    ]
    for start, _, numerator, denominator in song.bars[changed].tolist():
        events.append((start, mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)))
    # A last event far enough that PrettyMIDI's table of ticks reaches every note.
    events.append((int(song.bars["start"][-1] + song.bars["length"][-1]), mido.MetaMessage("end_of_track")))
    track, now = mido.MidiTrack(), 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=(tick - now) * (MIDI_RESOLUTION // TICKS_PER_QUARTER)))
        now = tick
    stream = io.BytesIO()
    mido.MidiFile(ticks_per_beat=MIDI_RESOLUTION, tracks=[track]).save(file=stream)
    stream.seek(0)
    return stream


def read_midi(path: str) -> Song:
    """Any MIDI file as a Song: instruments to five tracks by program, ticks to 1/24 quarter; RunFailed where it cannot be."""
    import symusic

    try:
        score: Any = symusic.Score(path)
    except Exception as error:  # symusic raises what its parser meets
        raise RunFailed(
            f"{path} cannot be read as MIDI: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    scale = TICKS_PER_QUARTER / score.ticks_per_quarter
    columns: list[np.ndarray] = []
    for part in score.tracks:
        notes = part.notes.numpy()
        track = (
            DRUMS
            if part.is_drum
            else next((track for track, programs in PROGRAMS.items() if part.program in programs), STRINGS)
        )
        ticks = [np.floor(notes[name] * scale + 0.5).astype(np.int64) for name in ("time", "duration")]
        columns.append(
            np.stack([ticks[0], np.maximum(ticks[1], 1), notes["pitch"], notes["velocity"], np.full(len(ticks[0]), track)])
        )
    if not columns or not sum(column.shape[1] for column in columns):
        raise RunFailed(f"{path} has no notes: give a MIDI file with at least one note")
    joined = np.concatenate(columns, axis=1)
    joined = joined[:, (joined[0] >= 0) & (joined[2] >= 0) & (joined[2] < 128)]
    notes = make_notes(joined[0], joined[1], joined[2], np.clip(joined[3], 1, 127), joined[4])
    try:
        return Song("midi", "file", notes, _meter(score, scale, covered_ticks(notes)), _tempo(score, scale), "score")
    except (ValueError, OverflowError) as error:
        raise RunFailed(f"{path} is not music this program can hold: {error}") from error


def _tempo(score: Any, scale: float) -> np.ndarray:
    changes = {0: 120.0} | {int(tempo.time * scale + 0.5): tempo.qpm for tempo in score.tempos if 1 <= tempo.qpm <= 2000}
    return make_tempi(sorted(changes), [changes[tick] for tick in sorted(changes)])


def _meter(score: Any, scale: float, end: int) -> np.ndarray:
    """Bars of the file's meters until tick `end`; a change inside a bar cuts it short."""
    changes = {0: (4, 4)} | {
        int(meter.time * scale + 0.5): (meter.numerator, meter.denominator)
        for meter in score.time_signatures
        if meter.numerator > 0 and meter.denominator in (1, 2, 4, 8, 16)
    }
    starts = [tick for tick in sorted(changes) if tick < end]
    parts = []
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        bars = regular_bars(stop - start, *changes[start])
        bars["start"] += start
        if stop != end:
            bars["length"][-1] = stop - bars["start"][-1]
        parts.append(bars)
    return np.concatenate(parts).astype(BAR)
