"""Synthetic labels: metadata and labels in the forms of MSD and Spotify, made by rule from the
notes of music that neither knows.

Track ids are of MSD's form but begin with TRSAMPL, and labels carry LABEL_SOURCE: nobody
may take either for real.
"""

import hashlib
from typing import Any

import numpy as np

from schemas.song import DRUMS, PIANO, TICKS_PER_QUARTER, seconds_at

LABEL_SOURCE = "sample rule: tempo and mode, not Spotify's"
MIDDLE_BPM, MIDDLE_ONSETS_PER_SECOND = 110.0, 4.0
MINOR_VALENCE, MAJOR_VALENCE = 0.30, 0.60
MIDDLE_PITCH, VALENCE_PER_SEMITONE = 70.0, 0.02


def sample_id(kind: str, name: str) -> str:
    """An id of MSD's form (`TR` track, `SO` song, 7 letters, 11 hex digits) for anything
    with a name."""
    return f"{kind}SAMPL{hashlib.sha256(name.encode()).hexdigest()[:11].upper()}"


def msd_path(track_id: str) -> str:
    """Where MSD keeps a track below its root: three folders by its third to fifth
    letter."""
    return f"{'/'.join(track_id[2:5])}/{track_id}.h5"


def rule_labels(notes: np.ndarray, tempi: np.ndarray, mode: str) -> tuple[float, float]:
    """(valence, energy), both in (0, 1), three decimals, by rule from NOTE, TEMPO and
    "major" or "minor".

    energy: the mean of t / (t + 110), t the mean tempo in quarters a minute, and s / (s +
    4), s onsets a second (notes that start together are one). valence: 0.60 in major, 0.30
    in minor, and 0.02 more for each semitone by which the piano track (the melody) lies on
    average above B flat 4; register keeps pieces of one mode apart. Fast, major and high
    music is by and large heard as happier and more excited (Gabrielsson & Lindström 2010):
    enough for an example, no more.
    """
    return _valence(notes, mode), _energy(notes, tempi)


def _energy(notes: np.ndarray, tempi: np.ndarray) -> float:
    end = int((notes["start"] + notes["duration"]).max())
    seconds = _seconds(tempi, end)
    bpm = end / TICKS_PER_QUARTER / seconds * 60
    speed = bpm / (bpm + MIDDLE_BPM)
    onsets_per_second = len(np.unique(notes["start"])) / seconds
    density = onsets_per_second / (onsets_per_second + MIDDLE_ONSETS_PER_SECOND)
    return round((speed + density) / 2, 3)


def _valence(notes: np.ndarray, mode: str) -> float:
    melody = notes["pitch"][notes["track"] == PIANO]
    height = float(melody.mean()) - MIDDLE_PITCH if len(melody) else 0.0
    middle = MAJOR_VALENCE if mode == "major" else MINOR_VALENCE
    valence = middle + VALENCE_PER_SEMITONE * height
    return round(min(max(valence, 0.01), 0.99), 3)


def _seconds(tempi: np.ndarray, tick: int) -> float:
    return float(seconds_at(tempi, np.array([tick]))[0])


def describe_track(
    artist: str,
    title: str,
    tempi: np.ndarray,
    end: int,
    tonic: int | None,
    mode: str | None,
) -> dict[str, Any]:
    """What MSD's metadata would say of a piece: values by MSD's names (see
    labels/tracks.py), unknown ones left out.

    end: ticks; its key is certain, as it comes from a key signature.
    """
    name = f"{artist}: {title}"
    track: dict[str, Any] = {
        "track_id": sample_id("TR", name),
        "song_id": sample_id("SO", name),
        "artist": artist,
        "title": title,
        "release": "music21 corpus",
        "duration": _seconds(tempi, end),
        "tempo": float(tempi["bpm"][0]),
    }
    if tonic is not None:
        track["key"] = tonic
        track["key_confidence"] = 1.0
        track["mode"] = int(mode == "major")
        track["mode_confidence"] = 1.0
    return track


def segment_chroma(notes: np.ndarray, tempi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MSD's segments_start, (n,) float64 seconds from 0, and segments_pitches, (n, 12)
    float64, C to B.

    A segment lasts from one onset to the next, drums left out. A pitch class weighs as much
    as the velocities of its notes that sound in the segment; each row's largest is 1, a row
    where nothing sounds is 0.
    """
    pitched = notes[notes["track"] != DRUMS]
    starts = np.union1d([0], pitched["start"])
    first = np.searchsorted(starts, pitched["start"])
    last = np.searchsorted(starts, pitched["start"] + pitched["duration"])
    pitch_class = pitched["pitch"] % 12
    change = np.zeros((len(starts) + 1, 12), np.int64)
    np.add.at(change, (first, pitch_class), pitched["velocity"])
    np.subtract.at(change, (last, pitch_class), pitched["velocity"])
    chroma = np.cumsum(change[:-1], axis=0).astype(np.float64)
    loudest = chroma.max(axis=1, keepdims=True)
    return seconds_at(tempi, starts), chroma / np.maximum(loudest, 1.0)
