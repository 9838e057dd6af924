"""Arrangement: which of LPD's five tracks a part of a score plays, and notes that a piano roll can
hold.

The mapping is ours, not what LPD's program rule would give (that puts every bowed, blown
and sung part on Strings, and a quartet would be one track). Percussion plays Drums. With a
keyboard in the score: keyboard → Piano, plucked → Guitar, cello, bass and continuo → Bass,
every other part → Strings. Without one: plucked → Guitar, and of the others, by mean pitch,
the highest plays Piano (where the tunes have their melody), the lowest Bass, the second
Guitar if there are four or more, the rest Strings: a chorale or a quartet is Piano, Guitar,
Strings, Bass from the top down.
"""

import re
from collections.abc import Sequence

import numpy as np

from schemas.runs import run_begins
from schemas.song import BASS, DRUMS, GUITAR, PIANO, STRINGS, make_notes

# The kinds of part that have a track of their own, by name; the first that is found in the
# name counts.
KINDS = {
    "Drums": re.compile(r"drum|percussion|timpani|cymbal|triangle", re.I),
    "Bass": re.compile(r"bass(?!oon|et)|cello|violone|continuo", re.I),
    "Piano": re.compile(r"piano|klavier|harpsichord|cembalo|keyboard|organ|celesta", re.I),
    "Guitar": re.compile(r"guitar|lute|theorbo|mandolin|banjo|\bharp\b|arpa", re.I),
}


def kind_of(name: str) -> str:
    """Drums, Bass, Piano, Guitar or "" of a part, by its name.

    Its MIDI program is ignored: voices and strings often carry a notation program's default, the
    grand piano.
    """
    for kind, pattern in KINDS.items():
        if pattern.search(name):
            return kind
    return ""


def assign_tracks(kinds: Sequence[str], mean_pitch: np.ndarray) -> np.ndarray:
    """Track (uint8) of each part from its kind and mean pitch (NaN for a silent part),
    by the mapping above."""
    fixed = {"Drums": DRUMS, "Guitar": GUITAR, "Piano": PIANO}
    track = np.array([fixed.get(kind, STRINGS) for kind in kinds], np.uint8)
    if "Piano" in kinds:
        track[[kind == "Bass" for kind in kinds]] = BASS
        return track
    has_no_track = np.array([kind in ("", "Bass") for kind in kinds], bool)
    parts = np.flatnonzero(has_no_track & np.isfinite(mean_pitch))
    by_falling_pitch = np.argsort(-mean_pitch[parts], kind="stable")
    parts = parts[by_falling_pitch]
    track[parts[:1]] = PIANO
    if len(parts) >= 4:
        track[parts[1]] = GUITAR
    if len(parts) >= 2:
        track[parts[-1]] = BASS
    return track


def detach(notes: np.ndarray) -> np.ndarray:
    """Notes that a piano roll can hold: of each track and pitch one sounds at a time, and a tick
    of rest divides two.

    Of notes that start together, or a tick apart, the first and longest stays; one that
    runs into the next is cut a tick before it. A player does the same, and without it
    repeated notes of one loudness would be one long note in LPD's form.
    """
    columns = (-notes["duration"], notes["start"], notes["pitch"], notes["track"])
    notes = notes[np.lexsort(columns)]
    follows_same_pitch = ~run_begins(notes["track"], notes["pitch"])
    follows_close = np.diff(notes["start"], prepend=0) <= 1
    notes = notes[~(follows_same_pitch & follows_close)].copy()

    next_is_same_pitch = ~run_begins(notes["track"], notes["pitch"])[1:]
    until_next = np.diff(notes["start"]) - 1
    duration = notes["duration"]
    shortened = np.minimum(duration[:-1], until_next)
    duration[:-1] = np.where(next_is_same_pitch, shortened, duration[:-1])
    return make_notes(
        notes["start"], duration, notes["pitch"], notes["velocity"], notes["track"]
    )
