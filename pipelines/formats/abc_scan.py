"""ABC's signs: a line of music cut into notes, bar lines, chord symbols and the rest."""

import re
from collections.abc import Iterator
from fractions import Fraction

from schemas.reject import BadInput, Reason

# One way to read each length: with two, a chord that does not end takes time without end
_LENGTH = r"\d*(?:/+\d*)?"
_NOTE = rf"[\^_=]{{0,8}}(?:(?<=[\^_])\d*/\d*)?[A-Ga-g][,']*{_LENGTH}"
# Signs between a pair of marks; a mark whose partner is not so near is a sign by itself, and
# a line of a million open marks is read in no more than its length times this
_WITHIN = 256
# What may stand between the brackets of a chord
_CHORD_PART = rf"""(?:{_NOTE}-?|[zxy]{_LENGTH}-?|"[^"\n]{{0,{_WITHIN}}}"|![^!\n]{{0,{_WITHIN}}}!|[ \t.~HLMOPSTuv()])"""

# The first that fits counts. What fits none of them is one sign that is not read.
TOKEN = re.compile(
    rf"""
      (?P<symbol> "[^"\n]{{0,{_WITHIN}}}")
    | (?P<comment> %.*)
    | (?P<inline> \[[A-Za-z]:[^\]\n]{{0,{_WITHIN}}}\])
    | (?P<decoration> ![^!\n|:]{{0,{_WITHIN}}}! | \+(?:f{{1,4}}|[^+\n|"]{{0,64}}[^+\n|"A-Ga-gz\d/,'\^_= -][^+\n|"]{{0,64}}|\d)\+)
    | (?P<bar> \.?:*\[?\|[|\]]*:* | ::+ | \[\]) (?: (?:[ \t]*\[[ ]*)? (?P<ending>\d[\d,.-]*) )?
    | (?P<lone> \[[ ]*(?P<lone_ending>\d[\d,.-]*))
    | (?P<chord> \[(?P<inside>(?:{_CHORD_PART}|\+){{1,{_WITHIN}}})\] | \+(?P<plus>{_CHORD_PART}{{1,{_WITHIN}}})\+)
      (?P<chord_length>{_LENGTH})
    | (?P<quoted> \[[ ]*"(?P<quoted_ending>\d[\d,.-]*)"(?![^|\n]*\]))
    | (?P<note> {_NOTE})
    | (?P<rest> [zx]{_LENGTH})
    | (?P<bars_of_rest> [ZX]\d*)
    | (?P<tuplet> \(\d+(?: :\d* (?: :\d*)? )?)
    | (?P<grace> \{{[^}}\n]{{0,{_WITHIN}}}\}})
    | (?P<broken> [<>]+)
    | (?P<overlay_opens> \(&)
    | (?P<overlay_closes> &\))
    | (?P<overlay> &+)
    | (?P<tie> -)
    | \[(?P<cut_chord>(?:{_NOTE}-?){{2,{_WITHIN}}})(?=\()
    | (?P<open_chord> \[(?=[A-Ga-g^_=]))
    | (?P<open_symbol> "\S*)
    | (?P<silent> y\d* | [\s(.~H-WYh-w`$*):!\]\\])
    """,
    re.VERBOSE,
)
_LENGTH_PARTS = re.compile(r"(\d*)(/*)(\d*)")
_NOTE_PARTS = re.compile(rf"([\^_=]*)((?:\d*/\d*)?)([A-Ga-g])([,']*)({_LENGTH})")
IN_CHORD = re.compile(
    rf"(?P<note>{_NOTE})(?P<tie>-?)|(?P<rest>[zx]{_LENGTH})-?|(?P<symbol>\"[^\"]*\")|![^!]*!|y\d*"
)
_LETTERS = re.compile(r"[h-tw]")
_NO_WORDS = re.compile(
    rf"\"[^\"\n]{{0,{_WITHIN}}}\"|![^!\n|:]{{0,{_WITHIN}}}!|\+[^+\n|]{{0,{_WITHIN}}}\+|%.*"
    rf"|\[[A-Za-z]:[^\]\n]{{0,{_WITHIN}}}\]|\{{[^}}\n]{{0,{_WITHIN}}}\}}"
)
# Digits of a length; more is beyond any limit
_MOST_DIGITS = 12


def is_words(line: str) -> bool:
    """Whether a line is prose and no music: four small letters or more that name no note."""
    return len(set(_LETTERS.findall(_NO_WORDS.sub("", line)))) >= 4


def tokens(line: str) -> Iterator[re.Match[str] | str]:
    """The signs of a line from left to right, as matches of TOKEN; a sign that fits nothing as
    itself."""
    at = 0
    while at < len(line):
        match = TOKEN.match(line, at)
        if match is None or match.end() == at:
            yield line[at]
            at += 1
        else:
            yield match
            at = match.end()


def length_of(text: str) -> Fraction:
    """`3`, `3/2`, `/`, `//`, `/4` as a multiple of the unit note. Raises BadInput."""
    match = _LENGTH_PARTS.fullmatch(text)
    assert match is not None
    top, slashes, bottom = match.groups()
    if max(len(top), len(bottom), len(slashes)) > _MOST_DIGITS:
        raise BadInput(Reason.MALFORMED, f"no length of a note: {text[:20]}...")
    denominator = int(bottom or (2 if slashes else 1)) << max(len(slashes) - 1, 0)
    if not denominator:
        raise BadInput(Reason.MALFORMED, f"no length of a note: {text}")
    return Fraction(int(top or 1), denominator)


def note_parts(text: str) -> tuple[str, str, str, int, str]:
    """Accidental, its fraction (of quarter tones), letter, octaves above the one of C = 60, and
    length."""
    match = _NOTE_PARTS.fullmatch(text)
    assert match is not None
    accidental, fraction, letter, marks, length = match.groups()
    octave = marks.count("'") - marks.count(",") + letter.islower()
    return accidental, fraction, letter.upper(), octave, length


def ending_numbers(text: str) -> frozenset[int]:
    """The numbers in `1`, `1,3` or `1-3`."""
    spans = re.findall(r"(\d{1,2})(?:-(\d{1,2}))?", text)
    numbers: set[int] = set()
    for first, last in spans:
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def tuplet_of(text: str, is_compound: bool) -> tuple[Fraction, int]:
    """`(p:q:r`: what the lengths are multiplied by, and of how many notes. Raises BadInput."""
    numbers = [int(number[:3] or 0) for number in text[1:].split(":")]
    notes = numbers[0]
    beats = 3 if is_compound else 2
    usual = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(notes, beats)
    in_time_of = (numbers[1] if len(numbers) > 1 else 0) or usual
    if not notes:
        raise BadInput(Reason.MALFORMED, f"no tuplet: {text[:20]}")
    if notes == 1 and len(numbers) == 1:
        return Fraction(1), 0
    return Fraction(in_time_of, notes), (numbers[2] if len(numbers) > 2 else 0) or notes
