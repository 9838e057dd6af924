"""Scores: MusicXML and Humdrum files read with music21, arranged onto LPD's five tracks
(arrange.py).

Repeats are not taken: each bar sounds once, as written. Grace notes are left out, chord
symbols are not sounded.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from music21 import (
    converter,
    dynamics,
    exceptions21,
    expressions,
    harmony,
    instrument,
    key,
    note,
    spanner,
    stream,
    tempo,
)

from pipelines.sources.sample.arrange import assign_tracks, detach, kind_of
from schemas.reject import BadInput, Reason
from schemas.song import BAR, TICKS_PER_QUARTER, covered_ticks, make_notes, make_tempi

# mf, where a part says nothing; music21's volumeScalar of a dynamic mark lies in [0, 1].
UNMARKED_VELOCITY = 70
# Notation programs write 120 for playback when nobody chose a tempo.
PROGRAM_BPM = 120.0
SLOWEST_BPM, FASTEST_BPM = 20.0, 400.0
SNARE_PITCH = 38

_ROW = np.dtype(
    [
        ("start", "<i4"),
        ("stop", "<i4"),
        ("pitch", "u1"),
        ("velocity", "u1"),
        ("tied", "?"),
        ("part", "<i2"),
    ]
)
# What music21 raises on files that are not as it expects.
_REFUSALS = (
    exceptions21.Music21Exception, ValueError, LookupError, AttributeError, TypeError, SyntaxError, OSError, AssertionError,
)  # fmt: skip
_FILE_NAME = re.compile(r"\.(mxl|xml|musicxml|krn)$", re.I)
_WORD_BPM = {word: float(bpm) for word, bpm in tempo.defaultTempoValues.items()}
_TEMPO_WORD = re.compile(
    rf"({'|'.join(sorted(map(re.escape, _WORD_BPM), key=len, reverse=True))})\b", re.I
)


@dataclass(frozen=True, eq=False)
class Score:
    """notes: NOTE, bars: BAR, tempi: TEMPO, in ticks; title and composer as the file gives
    them, else None.

    tonic: pitch class 0-11 and mode ("major", "minor") of the first key signature, None
    without one; tempo_source: where the first tempo is from: "printed" (a metronome mark),
    "playback" (a number for playback alone), "words" (Allegro and the like, by music21's
    table), "default".
    """

    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    title: str | None
    composer: str | None
    tonic: int | None
    mode: str | None
    tempo_source: str


def read_score(path: Path, default_bpm: float) -> Score:
    """Read one score; default_bpm (quarters a minute) holds where it gives no tempo.

    Raises BadInput where music21 cannot read the file or no part has notes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = converter.parse(path, forceSource=True, storePickle=False)
            parts = _sounding_parts(parsed)
            rows = np.array(
                [
                    row
                    for index, part in enumerate(parts)
                    for row in _part_rows(index, part)
                ],
                _ROW,
            )
    except _REFUSALS as error:
        raise BadInput(
            Reason.MALFORMED, f"music21 cannot read it: {type(error).__name__}: {error}"
        ) from error
    if not len(rows):
        raise BadInput(Reason.MALFORMED, "no part of the score has notes")
    rows = _join_ties(rows)
    track = assign_tracks([_kind(part) for part in parts], _mean_pitches(rows, len(parts)))
    lengths = rows["stop"] - rows["start"]
    notes = detach(
        make_notes(
            rows["start"], lengths, rows["pitch"], rows["velocity"], track[rows["part"]]
        )
    )
    tempi, tempo_source = _tempi(parts, default_bpm)
    return Score(
        notes,
        _bars(parts[0], notes),
        tempi,
        *_names(parsed),
        *_key(parts[0], rows),
        tempo_source,
    )


def _sounding_parts(parsed: Any) -> list[stream.Part]:
    """The parts at the pitch they sound; a part that is written so already is left as it
    is."""
    if not isinstance(parsed, stream.Score) or not parsed.parts:
        raise BadInput(Reason.MALFORMED, "not a score with parts")
    parts = [part for part in parsed.parts if part.getElementsByClass(stream.Measure)]
    for part in parts:
        transposes = any(
            player.transposition is not None for player in part[instrument.Instrument]
        )
        if transposes or part[spanner.Ottava]:
            part.toSoundingPitch(inPlace=True)
    return parts


def _measures(part: stream.Part) -> Any:
    return part.getElementsByClass(stream.Measure)


def _part_rows(
    index: int, part: stream.Part
) -> Iterator[tuple[int, int, int, int, bool, int]]:
    """The notes of a part (_ROW): ticks, pitch, velocity, whether tied to the one
    before."""
    at, velocities = _dynamics(part)
    for measure in _measures(part):
        for voice in (measure, *measure.voices):
            begin = measure.offset + (0 if voice is measure else voice.offset)
            for element in voice.notes:
                # A grace note has no length; a chord symbol is a name, not a chord that is
                # played.
                if not element.quarterLength or isinstance(element, harmony.Harmony):
                    continue
                start = begin + element.offset
                velocity = velocities[int(np.searchsorted(at, float(start), side="right"))]
                for single in getattr(element, "notes", (element,)):
                    tied = single.tie is not None and single.tie.type in (
                        "stop",
                        "continue",
                    )
                    yield (
                        to_tick(start),
                        to_tick(start + element.quarterLength),
                        _pitch(single),
                        velocity,
                        tied,
                        index,
                    )


def to_tick(quarters: Any) -> int:
    """Quarter notes as ticks, nearest, halves up."""
    return int(quarters * TICKS_PER_QUARTER * 2 + 1) // 2


def _pitch(single: Any) -> int:
    if isinstance(single, note.Unpitched):
        player = single.storedInstrument
        pitch = getattr(player, "percMapPitch", None)
        return SNARE_PITCH if pitch is None else int(pitch)
    return int(min(max(single.pitch.midi, 0), 127))


def _dynamics(part: stream.Part) -> tuple[np.ndarray, list[int]]:
    """Quarters at which a dynamic mark stands, rising, and the velocity before the first
    and after each of them."""
    marks = sorted(
        (float(measure.offset + mark.offset), max(1, round(127 * mark.volumeScalar)))
        for measure in _measures(part)
        for mark in measure.getElementsByClass(dynamics.Dynamic)
    )
    return np.array([at for at, _ in marks]), [
        UNMARKED_VELOCITY,
        *(velocity for _, velocity in marks),
    ]


def _join_ties(rows: np.ndarray) -> np.ndarray:
    """Rows with tied notes made one, sorted by part, pitch and start; a tie to nothing
    begins a note of its own."""
    rows = rows[rows["stop"] > rows["start"]]
    rows = rows[np.lexsort((rows["start"], rows["pitch"], rows["part"]))]
    joins = np.zeros(len(rows), bool)
    before, after = rows[:-1], rows[1:]
    same = (after["part"] == before["part"]) & (after["pitch"] == before["pitch"])
    joins[1:] = after["tied"] & same & (after["start"] == before["stop"])
    first = np.flatnonzero(~joins)
    whole = rows[first].copy()
    whole["stop"] = rows["stop"][np.append(first[1:], len(rows)) - 1]
    return whole


def _mean_pitches(rows: np.ndarray, n_parts: int) -> np.ndarray:
    """Mean pitch of each part, NaN for one without notes."""
    count = np.bincount(rows["part"], minlength=n_parts)
    with np.errstate(invalid="ignore"):
        return np.bincount(rows["part"], rows["pitch"], n_parts) / np.where(
            count, count, np.nan
        )


def _kind(part: stream.Part) -> str:
    if part[instrument.UnpitchedPercussion] or part[note.Unpitched]:
        return "Drums"
    return "Piano" if isinstance(part, stream.PartStaff) else kind_of(part.partName or "")


def _bars(part: stream.Part, notes: np.ndarray) -> np.ndarray:
    """BAR array of a part's measures as long as they are, with the meter in force, until
    all notes are covered.

    Two short measures that make one together, as at a repeat sign within a bar, are one
    bar.
    """
    starts, meters, meter = [], [], (4, 4)
    for measure in _measures(part):
        signature = measure.timeSignature
        if (
            signature is not None
            and 1 <= signature.numerator <= 255
            and 1 <= signature.denominator <= 128
        ):
            meter = (signature.numerator, signature.denominator)
        starts.append(to_tick(measure.offset))
        meters.append(meter)
    end = max(to_tick(part.highestTime), covered_ticks(notes), starts[-1] + 1)
    lengths = np.diff([*starts, end])
    bars = np.array(
        [(*place, *meter) for *place, meter in zip(starts, lengths, meters, strict=True)],
        BAR,
    )
    return _join_halves(bars[bars["length"] > 0])


def _join_halves(bars: np.ndarray) -> np.ndarray:
    nominal = (
        4 * TICKS_PER_QUARTER * bars["numerator"].astype(np.int64) // bars["denominator"]
    )
    completes = np.append(False, bars["length"][1:] + bars["length"][:-1] == nominal[1:])
    # Of three short measures in a row the first two make the bar.
    for index in np.flatnonzero(completes):
        completes[index] = not completes[index - 1]
    joined = bars[~completes].copy()
    joined["start"][0] = 0
    joined["length"] = np.diff(
        np.append(joined["start"], bars["start"][-1] + bars["length"][-1])
    )
    return joined


def _tempi(parts: Sequence[stream.Part], default_bpm: float) -> tuple[np.ndarray, str]:
    """TEMPO from the marks of all parts, the best of each tick, and what the first is."""
    marks: dict[int, tuple[int, float]] = {}
    for part in parts:
        for measure in _measures(part):
            for rank, offset, bpm in _marks(measure):
                tick = to_tick(measure.offset + offset)
                if SLOWEST_BPM <= bpm <= FASTEST_BPM:
                    marks[tick] = min(marks.get(tick, (9, 0.0)), (rank, bpm))
    words = ("printed", "playback", "words", "default")
    if 0 not in marks:
        marks[0] = (len(words) - 1, default_bpm)
    ticks = sorted(marks)
    return make_tempi(ticks, [marks[tick][1] for tick in ticks]), words[marks[0][0]]


def _marks(measure: stream.Measure) -> Iterator[tuple[int, Any, float]]:
    """(rank, offset in quarters, quarters a minute) of a measure's tempo marks; the
    lowest rank is worth most."""
    for mark in measure.getElementsByClass(tempo.MetronomeMark):
        bpm = mark.getQuarterBPM()
        if bpm is not None and mark.number is not None:
            yield 0, mark.offset, float(bpm)
        elif bpm is not None and float(bpm) != PROGRAM_BPM:
            yield 1, mark.offset, float(bpm)
    for text in measure.getElementsByClass(expressions.TextExpression):
        match = _TEMPO_WORD.match(text.content.strip())
        if match:
            yield 2, text.offset, _WORD_BPM[match[1].lower()]


def _names(parsed: Any) -> tuple[str | None, str | None]:
    """Title and composer; a title that is only the file's name is none."""
    if parsed.metadata is None:
        return None, None
    title, composer = parsed.metadata.bestTitle, parsed.metadata.composer
    if not title or _FILE_NAME.search(title):
        title = None
    return title and " ".join(title.split()), composer and " ".join(composer.split())


def _key(part: stream.Part, rows: np.ndarray) -> tuple[int | None, str | None]:
    """Tonic and mode of the first key signature; where it gives no mode, minor if the
    last bass note is minor's tonic."""
    signature = next(iter(part[key.KeySignature]), None)
    if signature is None:
        return None, None
    if isinstance(signature, key.Key) and signature.mode in ("major", "minor"):
        return signature.tonic.pitchClass, signature.mode
    major, minor = (
        signature.asKey("major").tonic.pitchClass,
        signature.asKey("minor").tonic.pitchClass,
    )
    last = rows[rows["stop"] == rows["stop"].max()]
    return (minor, "minor") if last["pitch"].min() % 12 == minor else (major, "major")
