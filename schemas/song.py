"""Song: the one record every source gives and every later step takes.

A tick is 1/24 of a quarter note (LPD's own resolution), a sixteenth is 6 ticks. Notes, bars
and tempo changes are columns of structured arrays, never objects, and read-only. Times are
ticks from the start of the song.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

TICKS_PER_QUARTER = 24
TICKS_PER_SIXTEENTH = 6
TRACKS = ("Drums", "Piano", "Guitar", "Bass", "Strings")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)

NOTE = np.dtype(
    [
        ("start", "<i4"),
        ("duration", "<i4"),
        ("pitch", "u1"),
        ("velocity", "u1"),
        ("track", "u1"),
    ]
)
BAR = np.dtype(
    [("start", "<i4"), ("length", "<i4"), ("numerator", "u1"), ("denominator", "u1")]
)
TEMPO = np.dtype([("start", "<i4"), ("bpm", "<f4")])

METER_SOURCES = (
    "downbeats",
    "downbeats_then_assumed",
    "midi_info",
    "score",
    "midi",
    "tracked",
    "estimated",
    "assumed_4_4",
)
# Far beyond any music (LPD's longest file has 959,040 ticks), near enough that sums of
# ticks stay in int32.
MAX_TICKS = 1 << 24


def _nothing() -> np.ndarray:
    return np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class Origin:
    """What a reader knows of a song besides its music.

    meter_confidence: 0-1, how well the onsets keep tracked beats, or how likely an estimated
    meter is, None where neither was done; note_seconds: float32, the onset of each note as it was played, where beats were
    tracked, else empty; key_meta: uint8, the key that the file states for each bar (24: none
    yet), empty where it states none; rounded_onsets, unplaced_notes, doubled_notes: notes
    whose onset is no whole tick in the file, that no track takes, that another of the same
    onset, pitch and track hides; is_cut: the file is cut out of a longer piece, so that its
    end is no ending.
    """

    meter_confidence: float | None = None
    note_seconds: np.ndarray = field(default_factory=_nothing)
    key_meta: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    rounded_onsets: int = 0
    unplaced_notes: int = 0
    doubled_notes: int = 0
    is_cut: bool = False


@dataclass(frozen=True, eq=False)
class Song:
    """One piece of music.

    notes: NOTE, sorted by (start, track, pitch); bars: BAR, contiguous from tick 0, at
    least one, covering every note's rounded onset and end; tempi: TEMPO, rising starts, the
    first at 0; source_sha256: of the bytes it was read from; folder_track_ids: MSD tracks
    under which the corpus's own folders file it; origin: what else its reader knows. Raises
    ValueError where one of these does not hold, which is always a reader's mistake: bad
    files are refused before a Song is made.
    """

    source: str
    source_key: str
    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    meter_source: str
    title: str | None = None
    artist: str | None = None
    genre: str | None = None
    source_sha256: str = ""
    folder_track_ids: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        for name, dtype in (("notes", NOTE), ("bars", BAR), ("tempi", TEMPO)):
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                raise ValueError(
                    f"{self.song_id}: {name} must be one-dimensional {dtype}, not {array.dtype}{array.shape}"
                )
            array.flags.writeable = False
        self._check_notes()
        self._check_bars()
        self._check_tempi()

    @property
    def song_id(self) -> str:
        """`<source>:<key>`, unique over all sources."""
        return f"{self.source}:{self.source_key}"

    def _check_notes(self) -> None:
        notes = self.notes
        if not len(notes):
            return
        if notes["start"].min() < 0 or notes["duration"].min() < 1:
            raise ValueError(
                f"{self.song_id}: a note starts before 0 or lasts less than a tick"
            )
        if (
            notes["pitch"].max() > 127
            or notes["velocity"].max() > 127
            or notes["velocity"].min() < 1
        ):
            raise ValueError(
                f"{self.song_id}: a pitch over 127 or a velocity outside 1-127"
            )
        if notes["track"].max() >= len(TRACKS):
            raise ValueError(f"{self.song_id}: a track outside 0-{len(TRACKS) - 1}")
        if (np.diff(sort_keys(notes)) < 0).any():
            raise ValueError(
                f"{self.song_id}: notes are not sorted by (start, track, pitch)"
            )

    def _check_bars(self) -> None:
        bars = self.bars
        ends = bars["start"] + bars["length"]
        if (
            not len(bars)
            or bars["start"][0] != 0
            or (bars["length"] < 1).any()
            or (bars["start"][1:] != ends[:-1]).any()
        ):
            raise ValueError(f"{self.song_id}: bars do not run on from 0 without gaps")
        if ends[-1] > MAX_TICKS or ends[-1] < covered_ticks(self.notes):
            raise ValueError(
                f"{self.song_id}: bars end at tick {ends[-1]}, notes need {covered_ticks(self.notes)}"
            )
        if self.meter_source not in METER_SOURCES:
            raise ValueError(
                f"{self.song_id}: unknown meter_source {self.meter_source!r}: known are {METER_SOURCES}"
            )

    def _check_tempi(self) -> None:
        tempi = self.tempi
        if not len(tempi) or tempi["start"][0] != 0 or (np.diff(tempi["start"]) <= 0).any():
            raise ValueError(f"{self.song_id}: tempo changes do not rise from 0")
        if not np.isfinite(tempi["bpm"]).all() or (tempi["bpm"] <= 0).any():
            raise ValueError(f"{self.song_id}: a tempo is not a positive number")


def sort_keys(notes: np.ndarray) -> np.ndarray:
    """One int64 a note whose order is the order of (start, track, pitch)."""
    return (
        (notes["start"].astype(np.int64) << 16)
        | (notes["track"].astype(np.int64) << 8)
        | notes["pitch"]
    )


def make_notes(
    start: ArrayLike,
    duration: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike,
    track: ArrayLike,
) -> np.ndarray:
    """NOTE array from columns (ticks, MIDI numbers), sorted; equal keys keep the order
    they came in."""
    notes = np.empty(len(np.asarray(start)), NOTE)
    for name, column in zip(
        NOTE.names or (), (start, duration, pitch, velocity, track), strict=True
    ):
        notes[name] = column
    return notes[np.argsort(sort_keys(notes), kind="stable")]


def make_tempi(start: ArrayLike, bpm: ArrayLike) -> np.ndarray:
    """TEMPO array from columns, keeping only the points where the tempo changes."""
    tempi = np.empty(len(np.asarray(start)), TEMPO)
    tempi["start"], tempi["bpm"] = start, bpm
    changes = np.ones(len(tempi), bool)
    changes[1:] = tempi["bpm"][1:] != tempi["bpm"][:-1]
    return tempi[changes]


def covered_ticks(notes: np.ndarray) -> int:
    """The tick that bars must reach so that every note's end and rounded onset lie
    inside them."""
    if not len(notes):
        return 1
    # An onset up to half a sixteenth before a bar line is played in the next bar, which
    # therefore has to be there.
    onset = int(notes["start"].max()) + TICKS_PER_SIXTEENTH // 2 + 1
    return max(onset, int((notes["start"] + notes["duration"]).max()))


def regular_bars(
    end: int, numerator: int = 4, denominator: int = 4, first: int = 0
) -> np.ndarray:
    """Bars of one meter from tick `first` until `end` is covered; a pick-up bar fills
    the ticks before `first`."""
    length = TICKS_PER_QUARTER * 4 * numerator // denominator
    n_bars = max(1, -(-(end - first) // length))
    starts = first + length * np.arange(n_bars)
    if first > 0:
        starts = np.concatenate([[0], starts])
    bars = np.empty(len(starts), BAR)
    bars["start"], bars["length"] = starts, length
    bars["length"][:-1] = np.diff(starts)
    bars["numerator"], bars["denominator"] = numerator, denominator
    return bars


def seconds_at(tempi: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """Seconds from the start of the song at each tick, float64, following the tempo
    changes."""
    seconds_per_tick = 60.0 / (tempi["bpm"].astype(np.float64) * TICKS_PER_QUARTER)
    elapsed = np.concatenate(
        [[0.0], np.cumsum(np.diff(tempi["start"]) * seconds_per_tick[:-1])]
    )
    at = np.searchsorted(tempi["start"], ticks, side="right") - 1
    return elapsed[at] + (ticks - tempi["start"][at]) * seconds_per_tick[at]
