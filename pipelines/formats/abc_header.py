"""ABC's words: a file cut into tunes, and the fields above a tune's music."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pipelines.formats.abc_measures import Meter
from schemas.reject import BadInput, Reason

FIELD = re.compile(r"([A-Za-z]):(?![|:])[ \t]*([^%\n]*)")
CONTINUED = re.compile(r"\+:[ \t]*([^%\n]*)")
QUOTED = re.compile(r'"[^"]*"')
_BLOCK = re.compile(r"%%begin(\w+)")
# Fields of words; other fields and music may follow a backslash at a line's end
_WORDS = frozenset("ABCDFGHNORSTWZw")
_LENGTH = re.compile(r"(\d{1,4})(?:[ \t]*/[ \t]*(\d{1,4}))?")
_METER = re.compile(r"([\d+ \t]+)\)?[ \t]*/[ \t]*(\d+)")
_BEAT = r"\d{1,3}[ \t]*/[ \t]*\d{1,3}"
_BEATS = re.compile(rf"({_BEAT}(?:[ \t]+{_BEAT})*)[ \t]*=(.*)")
_UNITS = re.compile(r"[Cc](\d{0,3})(?:(/+)(\d{0,3}))?[ \t]*=(.*)")
_NUMBER = re.compile(r"\D*(\d{1,4}(?:\.\d{1,4})?)(?![\d/])")


@dataclass(frozen=True)
class AbcHeader:
    """The fields above a tune's music, empty where there are none; meter None is free, tempo_bpm
    None is not stated; parts: the order of the parts as it is written."""

    number: int | None
    title: str
    composer: str
    rhythm: str
    meter: Meter | None
    unit: str
    key: str
    tempo_bpm: float | None
    parts: str = ""
    tempo: str = ""


def split_tunes(blob: bytes) -> list[str]:
    """The tunes of an ABC file, each from its X: line on, the file's own header fields put
    after that line.

    Each line is read as UTF-8, failing that as Latin-1, and ends at CR, LF or both: no other byte
    ends a comment. A file without X: has no tunes.
    """
    lines = _decode(blob)
    shared: list[str] = []
    tunes: list[list[str]] = []
    words = _words_of_blocks(lines)
    for line, is_words in zip(lines, words, strict=True):
        if line.startswith("X:") and not is_words:
            tunes.append([line, *shared])
        elif tunes:
            tunes[-1].append(line)
        elif not is_words and FIELD.match(line):
            shared.append(line)
    return ["\n".join(tune).strip() + "\n" for tune in tunes]


def _decode(blob: bytes) -> list[str]:
    if blob.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = blob.decode("utf-16", "replace")
        return re.split("\r\n|\r|\n", text)
    blob = blob.removeprefix(b"\xef\xbb\xbf")
    return [_decode_line(line) for line in re.split(b"\r\n|\r|\n", blob)]


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _words_of_blocks(lines: list[str]) -> Iterator[bool]:
    """Whether each line stands within %%begintext and %%endtext (or beginps, beginsvg, ...)."""
    ends = [line for line in lines if line.startswith("%%end")]
    end = ""
    for line in lines:
        block = _BLOCK.match(line)
        # A block that never ends is a comment.
        if not end and block and any(one.startswith(f"%%end{block[1]}") for one in ends):
            end = f"%%end{block[1]}"
        yield bool(end)
        if end and line.startswith(end):
            end = ""


def read_header(tune: str) -> AbcHeader:
    """The fields above the music of one tune (see split_tunes); of T: and C: the first
    counts, of others the last.

    Raises BadInput where there is no K:, which ends every header, or where M: is no meter.
    """
    return split_header(tune)[0]


def split_header(tune: str) -> tuple[AbcHeader, list[str]]:
    """Header and the lines of music, up to the empty line that ends a tune.

    Fields but V: that follow K: at once belong to the header (P: names the part that begins
    there), text between fields to neither.
    """
    fields: dict[str, str] = {}
    part: list[str] = []
    lines = tune.split("\n")
    is_words = list(_words_of_blocks(lines))
    last = ""
    goes_on = False
    for i, line in enumerate(lines):
        match = FIELD.match(line)
        continued = CONTINUED.match(line)
        if is_words[i] or line.startswith("%"):
            continue
        if "K" in fields and not continued and not (goes_on and not match):
            is_music = not match or line.startswith("V:")
            if is_music:
                return _header(fields), part + _music_lines(lines[i:], is_words[i:])
        goes_on = bool(match) and _goes_on(line)
        if continued and last in fields:
            fields[last] += " " + continued[1].strip()
        elif match and match[1] == "P" and "K" in fields:
            part = [line]
        elif match:
            last = match[1]
            _add_field(fields, last, match[2].strip())
    if "K" not in fields:
        raise BadInput(Reason.MALFORMED, "no K: field")
    return _header(fields), []


def _add_field(fields: dict[str, str], name: str, value: str) -> None:
    if name in ("T", "C"):
        fields.setdefault(name, value)
    else:
        fields[name] = value


def _goes_on(line: str) -> bool:
    """Whether a field of words goes on in the next line."""
    return line[0] in _WORDS and line.rstrip().endswith("\\")


def _music_lines(lines: list[str], is_words: list[bool]) -> list[str]:
    """The lines up to the first empty one, without comments and fields of words."""
    music: list[str] = []
    goes_on = False
    for line, words in zip(lines, is_words, strict=True):
        if words or line.startswith("%"):
            continue
        if not line.strip():
            break
        match = FIELD.match(line)
        if CONTINUED.match(line) or (goes_on and not match):
            goes_on = goes_on and line.rstrip().endswith("\\")
            continue
        goes_on = bool(match) and _goes_on(line)
        if not match or match[1] in "KLMPQUV":
            # Tunes that went by mail: an equals sign and a space as quoted-printable has them
            music.append(line.replace("=3D", "=").replace("=20", " "))
    return music


def _header(fields: dict[str, str]) -> AbcHeader:
    number = re.match(r"\d{1,9}", fields.get("X", ""))
    meter = meter_of(fields.get("M", "none"))
    unit = fields.get("L", "")
    tempo = fields.get("Q", "")
    return AbcHeader(
        number=int(number[0]) if number else None,
        title=fields.get("T", ""),
        composer=fields.get("C", ""),
        rhythm=fields.get("R", ""),
        meter=meter,
        unit=unit,
        key=fields["K"],
        tempo_bpm=tempo_bpm_of(tempo, unit_of(unit, meter, strict=False)),
        parts=fields.get("P", "") or fields.get("Y", ""),
        tempo=tempo,
    )


def meter_of(text: str) -> Meter | None:
    """The meter of an M: field, groups added up (`2+3/8`, `(2+3+2)/8`, `3/4+2/4`); None where it is
    free. Raises BadInput."""
    text = text.strip()
    if text.lower() in ("", "none", "free"):
        return None
    text = {"C": "4/4", "c": "4/4", "C|": "2/2", "c|": "2/2"}.get(text, text)
    numerator, denominator = _sum_of_groups(_METER.findall(text[:80]))
    if not numerator:
        raise BadInput(Reason.MALFORMED, f"no meter: M:{text[:40]}")
    return numerator, denominator


def _sum_of_groups(groups: list[tuple[str, str]]) -> Meter:
    """Numerator and denominator of ("2+3", "8") and the like added up, (0, 0) where the sum is no
    meter that a bar can have."""
    denominators = [int(own) for _, own in groups]
    if not groups or not all(one in (1, 2, 4, 8, 16, 32) for one in denominators):
        return 0, 0
    denominator = max(denominators)
    numerator = 0
    for (beats, _), own in zip(groups, denominators, strict=True):
        n_beats = sum(int(beat) for beat in re.findall(r"\d+", beats))
        numerator += n_beats * denominator // own
    return (numerator, denominator) if numerator <= 99 else (0, 0)


def unit_of(text: str, meter: Meter | None, strict: bool = True) -> Fraction:
    """Quarters of the unit note length L:, without one by the meter: a sixteenth below 3/4, else
    an eighth. Raises BadInput where strict."""
    match = _LENGTH.match(text.strip())
    if match and int(match[1]) and int(match[2] or 1):
        return Fraction(4 * int(match[1]), int(match[2] or 1))
    if text.strip() and strict:
        raise BadInput(Reason.MALFORMED, f"no length: L:{text[:40]}")
    is_short = meter is not None and Fraction(*meter) < Fraction(3, 4)
    return Fraction(1, 4) if is_short else Fraction(1, 2)


def tempo_bpm_of(text: str, unit: Fraction = Fraction(1, 2)) -> float | None:
    """Quarters a minute of a Q: field, None where it says none; a bare number counts quarters,
    as in music21.

    `1/4 3/8=40` counts the lengths together, `C3=40` three unit notes (old ABC).
    """
    text = QUOTED.sub("", text).strip()
    beats = _BEATS.fullmatch(text)
    units = _UNITS.fullmatch(text)
    quarters = Fraction(1)
    if beats:
        lengths = re.findall(r"(\d+)\s*/\s*(\d+)", beats[1])
        quarters = sum(
            (Fraction(4 * int(n), max(int(d), 1)) for n, d in lengths), Fraction(0)
        )
        text = beats[2]
    elif units:
        halvings = len(units[2] or "/") - 1
        below = int(units[3] or (2 if units[2] else 1)) << min(halvings, 8)
        quarters = unit * Fraction(int(units[1] or 1), max(below, 1))
        text = units[4]
    match = _NUMBER.match(text) if beats or units else _NUMBER.fullmatch(text)
    if match is None:
        return None
    bpm = float(quarters) * float(match[1])
    return bpm if 10 <= bpm <= 1000 else None
