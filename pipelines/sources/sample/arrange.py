"""Arrangement: which of LPD's five tracks a part of a score plays, and notes that a roll
can say.

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

    Its sound is not asked: voices and strings often carry a notation program's default, the
    grand piano.
    """
    return next((kind for kind, form in KINDS.items() if form.search(name)), "")


def assign_tracks(kinds: Sequence[str], mean_pitch: np.ndarray) -> np.ndarray:
    """Track (uint8) of each part from its kind and mean pitch (NaN for a silent part),
    by the mapping above."""
    fixed = {"Drums": DRUMS, "Guitar": GUITAR, "Piano": PIANO}
    track = np.array([fixed.get(kind, STRINGS) for kind in kinds], np.uint8)
    if "Piano" in kinds:
        track[[kind == "Bass" for kind in kinds]] = BASS
        return track
    free = np.flatnonzero(
        [kind in ("", "Bass") for kind in kinds] & np.isfinite(mean_pitch)
    )
    falling = free[np.argsort(-mean_pitch[free], kind="stable")]
    track[falling[:1]] = PIANO
    if len(falling) >= 4:
        track[falling[1]] = GUITAR
    if len(falling) >= 2:
        track[falling[-1]] = BASS
    return track


def detach(notes: np.ndarray) -> np.ndarray:
    """Notes such that a roll can say them: of each track and pitch one sounds at a time,
    and a tick of rest divides two.

    Of notes that start together, or a tick apart, the first and longest stays; one that
    runs into the next is cut a tick before it. A player does the same, and without it
    repeated notes of one loudness would be one long note in LPD's form.
    """
    notes = notes[
        np.lexsort((-notes["duration"], notes["start"], notes["pitch"], notes["track"]))
    ]
    voice = notes["track"].astype(np.int64) * 128 + notes["pitch"]
    doubled = np.append(False, (np.diff(voice) == 0) & (np.diff(notes["start"]) <= 1))
    kept, voice = notes[~doubled].copy(), voice[~doubled]
    room = np.where(np.diff(voice) == 0, np.diff(kept["start"]) - 1, kept["duration"][:-1])
    kept["duration"][:-1] = np.minimum(kept["duration"][:-1], room)
    return make_notes(
        *(kept[name] for name in ("start", "duration", "pitch", "velocity", "track"))
    )
