"""vocabulary.json: the tokens of a release by name and by group, for whoever has the release
and not this code."""

from typing import Any

from schemas.remi import (
    BAR_TOKEN,
    BEAT,
    BPM_STEP,
    DURATION,
    LOWEST_BPM,
    LOWEST_PITCH,
    N_BEATS,
    N_DURATIONS,
    N_PITCHES,
    N_TEMPI,
    N_VELOCITIES,
    PITCH,
    TEMPO_TOKEN,
    VELOCITY,
    token_names,
    vocabulary_sha256,
)
from schemas.song import TICKS_PER_QUARTER, TICKS_PER_SIXTEENTH, TRACKS

VOCABULARY = "vocabulary.json"
RULE = (
    "A song is its bars one after another. A bar is Bar, then for each sixteenth on which "
    "notes begin Beat_n (n sixteenths after the start of the bar), Tempo_bpm where it is the "
    "first of the bar or the tempo changes, and for each note Pitch_track_number, "
    "Velocity_track_number, Duration_track_sixteenths. PAD and EOS are not stored."
)


def vocabulary() -> dict[str, Any]:
    """The file's content: names in order of id, the groups they fall into, and the rule of a
    bar; the same for every release of one vocabulary."""
    return {
        "size": len(token_names()),
        "sha256": vocabulary_sha256(),
        "sha256_of": "the names, joined by line feeds, in UTF-8",
        "ticks_per_quarter": TICKS_PER_QUARTER,
        "ticks_per_sixteenth": TICKS_PER_SIXTEENTH,
        "tracks": list(TRACKS),
        "rule": RULE,
        "groups": [*_common_groups(), *_track_groups()],
        "names": token_names(),
    }


def _common_groups() -> list[dict[str, Any]]:
    return [
        _group("Special", 0, BAR_TOKEN, "PAD fills up a batch, EOS ends a written song"),
        _group("Bar", BAR_TOKEN, 1, "a bar begins"),
        _group("Beat", BEAT, N_BEATS, "sixteenths after the start of the bar"),
        _group("Tempo", TEMPO_TOKEN, N_TEMPI, "quarters a minute", LOWEST_BPM, BPM_STEP),
    ]


def _track_groups() -> list[dict[str, Any]]:
    """Three groups a track, each track's ids following the last one's."""
    kinds = (
        ("Pitch", PITCH, N_PITCHES, "MIDI pitch", LOWEST_PITCH, 1),
        ("Velocity", VELOCITY, N_VELOCITIES, "MIDI velocity", 1, 2),
        ("Duration", DURATION, N_DURATIONS, "sixteenths", 1, 1),
    )
    return [
        {**_group(kind, first + index * n, n, means, lowest, step), "track": track}
        for kind, first, n, means, lowest, step in kinds
        for index, track in enumerate(TRACKS)
    ]


def _group(
    kind: str, first_id: int, n: int, means: str, lowest: int = 0, step: int = 1
) -> dict[str, Any]:
    """Ids first_id to first_id + n - 1, which say lowest, lowest + step, ..."""
    return {
        "kind": kind,
        "first_id": first_id,
        "n": n,
        "means": means,
        "lowest": lowest,
        "step": step,
    }
