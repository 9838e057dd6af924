"""ABC's K: field: which letters it raises or lowers, in any mode, with accidentals of its own."""

import re

from schemas.reject import BadInput, Reason

_FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_MODE_FIFTHS = {
    "maj": 0,
    "ion": 0,
    "m": -3,
    "min": -3,
    "aeo": -3,
    "mix": -1,
    "dor": -2,
    "phr": -4,
    "lyd": 1,
    "loc": -5,
}
_SHARPS = "FCGDAEB"
ACCIDENTALS = {"^^": 2, "^": 1, "=^": 1, "=": 0, "=_": -1, "_": -1, "__": -2}
_KEY = re.compile(r"([A-G])(#|b|♯|♭|(?![a-z]))?[ \t]*([A-Za-z]*)")
_OWN_ACCIDENTAL = re.compile(r"(?:^|[ \t])([\^_=]{1,2})([A-Ga-g])(?![a-z])")
_WORD_ALONE = re.compile(
    r"(?:clef|treble|bass|alto|tenor|perc|none|stafflines|middle|octave|transpose|score|sound|shift|m=|t=|\+|-).*",
    re.I,
)


def accidentals_of(text: str) -> dict[str, int] | None:
    """Semitones by which a K: field moves each letter A-G, others 0; None where it says nothing of
    the key (a clef alone).

    `exp` after the tonic: its own accidentals alone hold. Raises BadInput for what is no key.
    """
    text = text.strip()
    own = {letter.upper(): ACCIDENTALS[sign] for sign, letter in _own_accidentals(text)}
    if text.lower().startswith("hp"):
        return {"F": 1, "C": 1} | own
    match = _KEY.match(text)
    if match is None:
        if text.lower().startswith("none") or not text or own:
            return own
        if _WORD_ALONE.fullmatch(text):
            return None
        raise BadInput(Reason.MALFORMED, f"no key: K:{text[:40]}")
    if re.search(r"\bexp\b", text, re.I):
        return own
    return _signature(match) | own


def _own_accidentals(text: str) -> list[tuple[str, str]]:
    found = _OWN_ACCIDENTAL.findall(text)
    return [(sign, letter) for sign, letter in found if sign in ACCIDENTALS]


def _signature(match: re.Match[str]) -> dict[str, int]:
    tonic, sign, mode = match.groups()
    fifths = _FIFTHS[tonic]
    if sign in ("#", "♯"):
        fifths += 7
    elif sign in ("b", "♭"):
        fifths -= 7
    # "m" is minor; any other word counts by its first three letters.
    name = mode if mode in ("m", "M") else mode[:3].lower()
    fifths += _MODE_FIFTHS.get(name, 0)
    shifts: dict[str, int] = {}
    for i in range(abs(fifths)):
        letter = _SHARPS[i % 7] if fifths > 0 else _SHARPS[-1 - i % 7]
        step = 1 if fifths > 0 else -1
        shifts[letter] = shifts.get(letter, 0) + step
    return shifts
