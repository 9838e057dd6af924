"""ABC's words: a file cut into tunes, and the fields above a tune's music."""

import re
from dataclasses import dataclass

from pipelines.formats.abc_measures import Meter
from schemas.reject import BadInput, Reason

_TUNE_START = re.compile(r"^(?=X:)", re.MULTILINE)
_FIELD = re.compile(r"([A-Za-z]):(?![|:])[ \t]*([^%\n]*)")
_METER = re.compile(r"(\d{1,2})\s*/\s*(\d{1,2})")
_TEMPO = re.compile(r"(?:(\d{1,3})\s*/\s*(\d{1,3})\s*=\s*)?(\d{1,4}(?:\.\d{1,4})?)")
QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class AbcHeader:
    """The fields above a tune's music, empty where there are none; meter None is free,
    tempo_bpm None is not stated."""

    number: int | None
    title: str
    composer: str
    rhythm: str
    meter: Meter | None
    unit: str
    key: str
    tempo_bpm: float | None


def split_tunes(blob: bytes) -> list[str]:
    """The tunes of an ABC file, each from its X: line on, the file's own header fields put
    after that line.

    Bytes are read as UTF-8, failing that as Latin-1. A file without X: has no tunes.
    """
    try:
        text = blob.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = blob.decode("latin-1")
    head, *tunes = _TUNE_START.split("\n".join(text.splitlines()) + "\n")
    if head.startswith("X:"):
        head, tunes = "", [head, *tunes]
    shared = "".join(f"{line}\n" for line in head.splitlines() if _FIELD.match(line))
    return [_with_fields(tune.strip(), shared) for tune in tunes]


def _with_fields(tune: str, fields: str) -> str:
    first, _, rest = tune.partition("\n")
    return f"{first}\n{fields}{rest}\n"


def read_header(tune: str) -> AbcHeader:
    """The fields above the music of one tune (see split_tunes); of T: and C: the first
    counts, of others the last.

    Raises BadInput where there is no K:, which ends every header, or where M: is no meter.
    """
    return split_header(tune)[0]


def split_header(tune: str) -> tuple[AbcHeader, str]:
    """Header and music; fields but V: that follow K: at once belong to the header, text
    between fields to neither."""
    fields: dict[str, str] = {}
    lines = tune.splitlines()
    for i, line in enumerate(lines):
        match = _FIELD.match(line)
        is_music = not match and line.strip() and not line.startswith("%")
        if "K" in fields and (is_music or line.startswith("V:")):
            return _header(fields), "\n".join(lines[i:])
        if match is None:
            continue
        name, value = match[1], match[2].strip()
        if name in ("T", "C"):
            fields.setdefault(name, value)
        else:
            fields[name] = value
    if "K" not in fields:
        raise BadInput(Reason.MALFORMED, "no K: field")
    return _header(fields), ""


def _header(fields: dict[str, str]) -> AbcHeader:
    number = re.match(r"\d{1,9}", fields.get("X", ""))
    return AbcHeader(
        number=int(number[0]) if number else None,
        title=fields.get("T", ""),
        composer=fields.get("C", ""),
        rhythm=fields.get("R", ""),
        meter=meter_of(fields.get("M", "none")),
        unit=fields.get("L", ""),
        key=fields["K"],
        tempo_bpm=tempo_bpm_of(fields.get("Q", "")),
    )


def meter_of(text: str) -> Meter | None:
    if text.lower() in ("", "none"):
        return None
    match = _METER.search({"C": "4/4", "C|": "2/2"}.get(text, text))
    numerator, denominator = (int(match[1]), int(match[2])) if match else (0, 0)
    if not numerator or denominator not in (1, 2, 4, 8, 16, 32):
        raise BadInput(Reason.MALFORMED, f"no meter: M:{text[:40]}")
    return numerator, denominator


def tempo_bpm_of(text: str) -> float | None:
    """Quarters a minute of a Q: field, None where it says none; a bare number counts
    quarters, as in music21."""
    match = _TEMPO.fullmatch(QUOTED.sub("", text).strip())
    if match is None:
        return None
    quarters = 4 * int(match[1]) / max(int(match[2]), 1) if match[1] else 1.0
    bpm = quarters * float(match[3])
    return bpm if 10 <= bpm <= 1000 else None
