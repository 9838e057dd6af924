"""REMI-923: the token vocabulary of the Semg-GMVAE paper (Table 1), notes to tokens and
back.

A bar is `Bar (Beat [Tempo] (Pitch Velocity Duration)+)*`; notes of a position stand by
track, then pitch. Tempo stands after the first Beat of a bar and where it changes. Bars of
fewer than 16 sixteenths use the first Beats; notes later than the 16th sixteenth of a
longer bar, and pitches outside 21-108, have no token and are counted as losses.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from schemas.grid import Grid
from schemas.song import (
    TICKS_PER_SIXTEENTH,
    TRACKS,
    Song,
    make_notes,
    make_tempi,
    regular_bars,
)

PAD, EOS, BAR_TOKEN = 0, 1, 2
BEAT, TEMPO_TOKEN, PITCH, VELOCITY, DURATION, VOCABULARY_SIZE = 3, 19, 83, 523, 843, 923
N_BEATS, N_TEMPI, N_PITCHES, N_VELOCITIES, N_DURATIONS = 16, 64, 88, 64, 16
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
LOWEST_BPM, BPM_STEP = 32, 3
DEFAULT_BPM = 120.0


@dataclass(frozen=True)
class RemiConfig:
    """tempo: "on_change" (after the first Beat of a bar and where it changes) or
    "every_beat", as the paper words it."""

    tempo: str = "on_change"

    def __post_init__(self) -> None:
        if self.tempo not in ("on_change", "every_beat"):
            raise ValueError(
                f"remi.tempo must be on_change or every_beat, not {self.tempo!r}"
            )


@dataclass(frozen=True)
class Losses:
    """Notes that the tokens do not say exactly: onset moved to its sixteenth, duration
    over 16 cut, note left out."""

    moved_onsets: int
    clipped_durations: int
    dropped_pitches: int
    dropped_positions: int


@dataclass(frozen=True, eq=False)
class Remi:
    """tokens: uint16, no padding, no EOS; bar_offset: int32, n_bars + 1, where each
    bar's tokens begin."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    losses: Losses


@dataclass(frozen=True, eq=False)
class Decoded:
    """notes: NOTE; tempi: TEMPO; bars: BAR; ignored: tokens that fit no place in the
    grammar."""

    notes: np.ndarray
    tempi: np.ndarray
    bars: np.ndarray
    ignored: int


def token_names() -> list[str]:
    """A name for each id, in order of id."""
    return [
        "PAD", "EOS", "Bar",
        *(f"Beat_{beat}" for beat in range(N_BEATS)),
        *(f"Tempo_{LOWEST_BPM + BPM_STEP * index}" for index in range(N_TEMPI)),
        *(f"Pitch_{track}_{LOWEST_PITCH + index}" for track in TRACKS for index in range(N_PITCHES)),
        *(f"Velocity_{track}_{1 + 2 * index}" for track in TRACKS for index in range(N_VELOCITIES)),
        *(f"Duration_{track}_{1 + index}" for track in TRACKS for index in range(N_DURATIONS)),
    ]  # fmt: skip


def vocabulary_sha256() -> str:
    """Hash of the token names in order: two releases with one hash can be read by one
    model."""
    return hashlib.sha256("\n".join(token_names()).encode()).hexdigest()


def tempo_index(bpm: np.ndarray) -> np.ndarray:
    """Nearest of the 64 tempi, halves up, clipped at both ends."""
    return np.clip(np.floor((bpm - LOWEST_BPM) / BPM_STEP + 0.5), 0, N_TEMPI - 1).astype(
        np.int64
    )


def encode(song: Song, grid: Grid, config: RemiConfig = RemiConfig()) -> Remi:
    """Tokens of a song whose notes stand on `grid`; every bar has at least its Bar
    token."""
    notes = song.notes
    pitch_fits = (notes["pitch"] >= LOWEST_PITCH) & (notes["pitch"] <= HIGHEST_PITCH)
    fits = pitch_fits & (grid.position < N_BEATS)
    losses = Losses(
        moved_onsets=int(np.count_nonzero(grid.moved)),
        clipped_durations=int(np.count_nonzero(grid.sixteenths[fits] > N_DURATIONS)),
        dropped_pitches=int(np.count_nonzero(~pitch_fits)),
        dropped_positions=int(np.count_nonzero(pitch_fits & ~fits)),
    )
    slot = grid.bar[fits] * N_BEATS + grid.position[fits]
    order = np.lexsort((notes["pitch"][fits], notes["track"][fits], slot))
    chosen = np.flatnonzero(fits)[order]
    tokens, bar_offset = _lay_out(song, grid, config, chosen, slot[order])
    return Remi(tokens, bar_offset, losses)


def _lay_out(
    song: Song, grid: Grid, config: RemiConfig, chosen: np.ndarray, slot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and bar offsets of the notes `chosen`, which stand in the rising `slot`
    (bar · 16 + position)."""
    n_bars = len(song.bars)
    beat_slot, first_note, beat_of_note = np.unique(
        slot, return_index=True, return_inverse=True
    )
    beat_bar = beat_slot // N_BEATS
    bpm = _tempo_at(song, beat_bar, beat_slot % N_BEATS)
    has_tempo = np.ones(len(beat_slot), bool)
    if config.tempo == "on_change":
        has_tempo[1:] = (beat_bar[1:] != beat_bar[:-1]) | (bpm[1:] != bpm[:-1])
    notes_per_beat = np.diff(np.append(first_note, len(slot)))
    # A token's place is what stands before it: Bar tokens up to its bar, Beats and Tempi up
    # to its beat, three a note.
    beat_length = 1 + has_tempo + 3 * notes_per_beat
    beat_start = np.cumsum(beat_length) - beat_length + beat_bar + 1
    tokens_per_bar = 1 + np.bincount(beat_bar, beat_length, n_bars).astype(np.int64)
    bar_offset = np.concatenate([[0], np.cumsum(tokens_per_bar)])
    tokens = np.empty(bar_offset[-1], np.uint16)
    tokens[bar_offset[:-1]] = BAR_TOKEN
    tokens[beat_start] = BEAT + beat_slot % N_BEATS
    tokens[beat_start[has_tempo] + 1] = TEMPO_TOKEN + bpm[has_tempo]
    note_start = (beat_start + 1 + has_tempo)[beat_of_note] + 3 * (
        np.arange(len(slot)) - first_note[beat_of_note]
    )
    notes = song.notes[chosen]
    track = notes["track"].astype(np.int64)
    tokens[note_start] = PITCH + track * N_PITCHES + notes["pitch"] - LOWEST_PITCH
    tokens[note_start + 1] = VELOCITY + track * N_VELOCITIES + (notes["velocity"] - 1) // 2
    tokens[note_start + 2] = (
        DURATION
        + track * N_DURATIONS
        + np.minimum(grid.sixteenths[chosen], N_DURATIONS)
        - 1
    )
    return tokens, bar_offset.astype(np.int32)


def _tempo_at(song: Song, bar: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Index of the tempo in force at each (bar, position)."""
    ticks = song.bars["start"][bar] + position * TICKS_PER_SIXTEENTH
    at = np.searchsorted(song.tempi["start"], ticks, side="right") - 1
    return tempo_index(song.tempi["bpm"].astype(np.float64))[at]


def decode(tokens: np.ndarray, bars: np.ndarray | None = None) -> Decoded:
    """Notes and tempi that tokens say, on `bars` (BAR) or else on bars of 4/4.

    Takes what a model may write: a token out of its place (a note without its velocity, a
    Beat before any Bar) is left out and counted. Raises ValueError for an id outside the
    vocabulary or for more Bar tokens than bars.
    """
    tokens = np.asarray(tokens, np.int64)
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= VOCABULARY_SIZE):
        raise ValueError(
            f"token ids must be 0-{VOCABULARY_SIZE - 1}, not {tokens.min()}-{tokens.max()}"
        )
    bar = np.cumsum(tokens == BAR_TOKEN) - 1
    n_bars = int(bar[-1]) + 1 if len(tokens) else 0
    bars = regular_bars(max(n_bars, 1) * 96) if bars is None else bars
    if n_bars > len(bars):
        raise ValueError(f"{n_bars} Bar tokens for {len(bars)} bars")
    tick, placed = _token_ticks(tokens, bar, bars)
    at, track = _whole_notes(tokens, placed)
    notes = make_notes(
        tick[at],
        (tokens[at + 2] - DURATION) % N_DURATIONS * TICKS_PER_SIXTEENTH
        + TICKS_PER_SIXTEENTH,
        (tokens[at] - PITCH) % N_PITCHES + LOWEST_PITCH,
        (tokens[at + 1] - VELOCITY) % N_VELOCITIES * 2 + 1,
        track,
    )
    is_tempo = (tokens >= TEMPO_TOKEN) & (tokens < PITCH) & placed
    is_beat = (tokens >= BEAT) & (tokens < TEMPO_TOKEN) & placed
    used = 3 * len(at) + int(is_tempo.sum()) + int(is_beat.sum()) + n_bars
    written = int((tokens > EOS).sum())
    tempi = _decode_tempi(tick[is_tempo], tokens[is_tempo])
    return Decoded(notes, tempi, bars, written - used)


def _token_ticks(
    tokens: np.ndarray, bar: np.ndarray, bars: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tick of the Beat that each token stands behind, and whether there is such a Beat
    in its bar."""
    index = np.arange(len(tokens))
    is_beat = (tokens >= BEAT) & (tokens < TEMPO_TOKEN)
    last_beat = (
        np.maximum.accumulate(np.where(is_beat, index, -1)) if len(tokens) else index
    )
    placed = (last_beat >= 0) & (bar >= 0) & (bar[last_beat] == bar)
    beat = np.where(placed, tokens[last_beat] - BEAT, 0)
    return bars["start"][np.maximum(bar, 0)].astype(
        np.int64
    ) + beat * TICKS_PER_SIXTEENTH, placed


def _whole_notes(tokens: np.ndarray, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a Pitch is followed by a Velocity and a Duration of its own track, and that
    track."""
    at = (
        np.flatnonzero((tokens[:-2] >= PITCH) & (tokens[:-2] < VELOCITY) & placed[:-2])
        if len(tokens) > 2
        else np.zeros(0, int)
    )
    track = (tokens[at] - PITCH) // N_PITCHES
    velocity, duration = tokens[at + 1] - VELOCITY, tokens[at + 2] - DURATION
    whole = (
        (velocity >= 0)
        & (velocity // N_VELOCITIES == track)
        & (duration >= 0)
        & (duration // N_DURATIONS == track)
    )
    return at[whole], track[whole]


def _decode_tempi(ticks: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """TEMPO from Tempo tokens in order: the first holds from the start, a later one on
    the same or an earlier tick wins."""
    if not len(ticks):
        return make_tempi([0], [DEFAULT_BPM])
    bpm = (LOWEST_BPM + BPM_STEP * (tokens - TEMPO_TOKEN)).astype(np.float32)
    rising = np.append(np.minimum.accumulate(ticks[::-1])[::-1][1:] > ticks[:-1], True)
    starts = ticks[rising]
    starts[0] = 0
    return make_tempi(starts, bpm[rising])
