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
from schemas.runs import run_begins
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
    exceptions21.Music21Exception,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    SyntaxError,
    OSError,
    AssertionError,
)
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
            rows = _rows(parts)
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
    bars = _bars(parts[0], notes)
    tempi, tempo_source = _tempi(parts, default_bpm)
    title, composer = _names(parsed)
    tonic, mode = _key(parts[0], rows)
    return Score(notes, bars, tempi, title, composer, tonic, mode, tempo_source)


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


def _rows(parts: Sequence[stream.Part]) -> np.ndarray:
    """The notes of all parts (_ROW)."""
    rows: list[tuple[int, int, int, int, bool, int]] = []
    for index, part in enumerate(parts):
        at, velocities = _dynamics(part)
        for start, element in _elements(part):
            stop = start + element.quarterLength
            velocity = velocities[int(np.searchsorted(at, float(start), side="right"))]
            for single in getattr(element, "notes", (element,)):
                tied = single.tie is not None and single.tie.type in ("stop", "continue")
                pitch = _pitch(single)
                rows.append((to_tick(start), to_tick(stop), pitch, velocity, tied, index))
    return np.array(rows, _ROW)


def _elements(part: stream.Part) -> Iterator[tuple[Any, Any]]:
    """(start in quarters, note or chord) of all that a part plays."""
    for measure in _measures(part):
        for voice in (measure, *measure.voices):
            begin = measure.offset + (0 if voice is measure else voice.offset)
            for element in voice.notes:
                # A grace note has no length; a chord symbol is a name, not a chord that is played.
                if element.quarterLength and not isinstance(element, harmony.Harmony):
                    yield begin + element.offset, element


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
    """Quarters at which a dynamic mark stands, rising, and the velocity before the first and
    after each of them."""
    marks: list[tuple[float, int]] = []
    for measure in _measures(part):
        for mark in measure.getElementsByClass(dynamics.Dynamic):
            velocity = max(1, round(127 * mark.volumeScalar))
            marks.append((float(measure.offset + mark.offset), velocity))
    marks.sort()
    velocities = [UNMARKED_VELOCITY] + [velocity for _, velocity in marks]
    return np.array([at for at, _ in marks]), velocities


def _join_ties(rows: np.ndarray) -> np.ndarray:
    """Rows with tied notes made one, sorted by part, pitch and start; a tie to nothing
    begins a note of its own."""
    rows = rows[rows["stop"] > rows["start"]]
    rows = rows[np.lexsort((rows["start"], rows["pitch"], rows["part"]))]
    starts_anew = run_begins(rows["part"], rows["pitch"])
    starts_anew |= ~rows["tied"]
    starts_anew[1:] |= rows["start"][1:] != rows["stop"][:-1]
    first = np.flatnonzero(starts_anew)
    last = np.append(first[1:], len(rows)) - 1
    joined = rows[first].copy()
    joined["stop"] = rows["stop"][last]
    return joined


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
    starts: list[int] = []
    meters: list[tuple[int, int]] = []
    meter = (4, 4)
    for measure in _measures(part):
        meter = _meter_of(measure.timeSignature) or meter
        starts.append(to_tick(measure.offset))
        meters.append(meter)
    end = max(to_tick(part.highestTime), covered_ticks(notes), starts[-1] + 1)
    bars = np.empty(len(starts), BAR)
    bars["start"] = starts
    bars["length"] = np.diff([*starts, end])
    bars["numerator"] = [numerator for numerator, _ in meters]
    bars["denominator"] = [denominator for _, denominator in meters]
    return _join_halves(bars[bars["length"] > 0])


def _meter_of(signature: Any) -> tuple[int, int] | None:
    """The meter of a time signature; None for none and for what is too large for BAR."""
    if signature is None:
        return None
    fits = 1 <= signature.numerator <= 255 and 1 <= signature.denominator <= 128
    return (signature.numerator, signature.denominator) if fits else None


def _join_halves(bars: np.ndarray) -> np.ndarray:
    end = bars["start"][-1] + bars["length"][-1]
    nominal = (
        4 * TICKS_PER_QUARTER * bars["numerator"].astype(np.int64) // bars["denominator"]
    )
    completes = np.zeros(len(bars), bool)
    completes[1:] = bars["length"][1:] + bars["length"][:-1] == nominal[1:]
    # Of three short measures in a row the first two make the bar.
    for index in np.flatnonzero(completes):
        completes[index] = not completes[index - 1]
    joined = bars[~completes].copy()
    joined["start"][0] = 0
    joined["length"] = np.diff(joined["start"], append=end)
    return joined


def _tempi(parts: Sequence[stream.Part], default_bpm: float) -> tuple[np.ndarray, str]:
    """TEMPO from the marks of all parts, the best of each tick, and what the first is."""
    marks: dict[int, tuple[int, float]] = {}
    for part in parts:
        for measure in _measures(part):
            for rank, offset, bpm in _marks(measure):
                tick = to_tick(measure.offset + offset)
                if SLOWEST_BPM <= bpm <= FASTEST_BPM:
                    before = marks.get(tick, (rank, bpm))
                    marks[tick] = min(before, (rank, bpm))
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
    if title and _FILE_NAME.search(title):
        title = None
    return _one_line(title), _one_line(composer)


def _one_line(text: str | None) -> str | None:
    return " ".join(text.split()) if text else None


def _key(part: stream.Part, rows: np.ndarray) -> tuple[int | None, str | None]:
    """Tonic and mode of the first key signature; where it gives no mode, minor if the
    last bass note is minor's tonic."""
    signature = next(iter(part[key.KeySignature]), None)
    if signature is None:
        return None, None
    if isinstance(signature, key.Key) and signature.mode in ("major", "minor"):
        return signature.tonic.pitchClass, signature.mode
    minor = signature.asKey("minor").tonic.pitchClass
    last_chord = rows[rows["stop"] == rows["stop"].max()]
    if last_chord["pitch"].min() % 12 == minor:
        return minor, "minor"
    return signature.asKey("major").tonic.pitchClass, "major"
