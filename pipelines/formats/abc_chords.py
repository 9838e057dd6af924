"""Chord symbols above a melody: the pitches of "Am7/g", and what is a remark and no chord."""

import re

# Chord roots lie in C2-B2, thirds above, slash basses ignored: as the Nottingham MIDI has them
LOWEST_ROOT = 36

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHIFTS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
# Semitones above the root, with every spelling of the chord
_SPELLINGS = {
    (0, 4, 7): "|maj|M|major|Maj",
    (0, 3, 7): "m|min|-|mi|minor|Min",
    (0, 3, 6): "d|dim|°|o|º|mb5|m-5",
    (0, 4, 8): "a|aug|+|+5|#5",
    (0, 4, 6): "b5|-5",
    (0, 7): "5",
    (0, 2, 7): "2|sus2",
    (0, 5, 7): "sus|sus4|4",
    (0, 2, 4, 7): "add2",
    (0, 4, 5, 7): "add4|add11",
    (0, 4, 7, 14): "add9|(add9)",
    (0, 3, 7, 14): "madd9|minadd9",
    (0, 4, 7, 9): "6|maj6|M6|add6",
    (0, 3, 7, 9): "m6|min6|-6",
    (0, 4, 7, 9, 14): "69|6/9|6add9",
    (0, 3, 7, 9, 14): "m69|m6/9",
    (0, 4, 7, 10): "7|dom7",
    (0, 3, 7, 10): "m7|min7|-7|mi7",
    (0, 4, 7, 11): "maj7|M7|Maj7|ma7|Δ|Δ7|^7|j7|major7",
    (0, 3, 7, 11): "mmaj7|mM7|minmaj7|-maj7|-M7|mMaj7",
    (0, 3, 6, 9): "dim7|°7|o7|º7|d7",
    (0, 3, 6, 10): "m7b5|min7b5|-7b5|ø|ø7|m7-5",
    (0, 4, 8, 10): "a7|aug7|+7|7+|7#5|7+5|7aug",
    (0, 4, 8, 11): "maj7#5|M7#5|+maj7|+M7",
    (0, 4, 6, 10): "7b5|7-5",
    (0, 5, 7, 10): "7sus4|7sus|sus7|7sus4",
    (0, 2, 7, 10): "7sus2",
    (0, 4, 7, 10, 13): "7b9|7-9",
    (0, 4, 7, 10, 15): "7#9|7+9",
    (0, 4, 7, 10, 14): "9|7add9|79",
    (0, 3, 7, 10, 14): "m9|min9|-9",
    (0, 4, 7, 11, 14): "maj9|M9|Maj9|ma9",
    (0, 5, 7, 10, 14): "9sus4|9sus",
    (0, 4, 7, 10, 14, 17): "11",
    (0, 3, 7, 10, 14, 17): "m11|min11|-11",
    (0, 4, 7, 10, 14, 21): "13",
    (0, 3, 7, 10, 14, 21): "m13|min13",
}
_QUALITIES = {
    spelling: intervals
    for intervals, all_ in _SPELLINGS.items()
    for spelling in all_.split("|")
}
_CHORD = re.compile(r"([A-G])([#b♯♭]?)(.*?)(?:/[A-Ga-g][#b♯♭+]?)?")
_BASS_ALONE = re.compile(r"/[A-Ga-g][#b♯♭+]?")
# Directions, dynamics, fingerings, and any longer word that does not begin like a chord
_REMARK = re.compile(
    r"D\.? ?[CS]\b|D[ae]l? |Fine?\b|FINE?\b|Coda|CODA|Al |AL |End|END|Da ?Capo|Bis|Chorus|Bridge"
    r"|Bass|From|Each|[mpfsz]{1,4}$|[a-h][a-z]{4,}|[I-Zi-z].{3,}|[^A-Za-z/]"
)
_NO_CHORD = re.compile(r"N\.? ?C\.?|No chord", re.I)
_ANNOTATION_SIGNS = "^_<>@"


def chord_pitches(symbol: str) -> tuple[int, ...]:
    """MIDI pitches of a chord symbol ("Am", "D7", "G/b", "(E7)"), root lowest, in C2-B2; empty
    for what is no chord."""
    text = symbol.strip("() ")
    for spelling in (text, re.sub(r"[() ]", "", text)):
        match = _CHORD.fullmatch(spelling)
        if match and match[3] in _QUALITIES:
            root = (_STEPS[match[1]] + _SHIFTS[match[2]]) % 12
            return tuple(LOWEST_ROOT + root + interval for interval in _QUALITIES[match[3]])
    return ()


def is_annotation(symbol: str) -> bool:
    """Whether it is text with a sign of its place ("^slowly"), or no text at all."""
    return not symbol or symbol[0] in _ANNOTATION_SIGNS


def is_no_chord(symbol: str) -> bool:
    """Whether it says that no chord sounds ("N.C.")."""
    return bool(_NO_CHORD.fullmatch(symbol))


def leaves_chord_on(symbol: str) -> bool:
    """Whether the chord before it sounds on: under a remark ("D.C.", "Fine", a fingering) and a bass
    alone ("/f+")."""
    if is_no_chord(symbol):
        return False
    return bool(_REMARK.match(symbol)) or is_bass_alone(symbol)


def is_bass_alone(symbol: str) -> bool:
    """Whether it is a new bass note below the chord before it ("/f+")."""
    return bool(_BASS_ALONE.fullmatch(symbol))
