"""Lakh Pianoroll Dataset, five tracks: LPD-5-full, matched and cleansed.

Two layouts: `<hex>/<md5>.npz` (full) and `A/B/C/TR…/<md5>.npz` (matched, cleansed). In the
latter one md5 may stand under several tracks with the same content; it is one song, read
from its first path. Bars come from the downbeats as far as they are marked, else from LPD's
side file `midi_info.json`, else from an estimate where the settings ask for one, else they
are taken for 4/4 from the first mark; `meter_source` says which. Step 0 of a roll is the
song's first beat, so `first_beat_time` adds nothing. Where midi_info knows the one meter of
a song, its steps are scaled to our ticks.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipelines.formats.meter_estimate import estimate_meter
from pipelines.formats.npz import Roll, foreign_tracks, read_npz
from pipelines.formats.npz_time import (
    QUARTER,
    beat_quarters,
    downbeat_bars,
    marked_to_the_end,
)
from schemas.contracts import Files, Item, Limits
from schemas.ids import MD5, TRACK_ID
from schemas.reject import BadInput
from schemas.settings import PATH
from schemas.song import (
    TICKS_PER_QUARTER,
    TRACKS,
    Origin,
    Song,
    covered_ticks,
    regular_bars,
)

# How many files may be damaged before nobody asks any more whose corpus it is.
FILES_LOOKED_AT = 16


@dataclass(frozen=True)
class Lpd5Config:
    """root: folder or URL that holds the npz; midi_info: path of LPD's midi_info.json,
    "" for none; estimate_meter: guess the meter of a song that neither its marks nor
    midi_info tell from its notes, instead of taking it for 4/4 (see formats.meter_estimate:
    wrong for 1 song of 200 that are in 4/4)."""

    root: str = field(default="", metadata=PATH)
    midi_info: str = field(default="", metadata=PATH)
    estimate_meter: bool = False


def items(files: Files, config: Lpd5Config) -> list[Item]:
    """One Item per md5, sorted, carrying its MSD folders and what midi_info.json says of
    it.

    Raises ValueError where midi_info is given and is not LPD's file, or where the corpus is
    another than LPD-5: LPD-17 and raw LPD have its layout and member names, and other
    instruments.
    """
    by_md5: dict[str, Item] = {}
    tracks: dict[str, list[str]] = {}
    for info in files.walk(config.root):
        path = PurePosixPath(info.path)
        if path.suffix != ".npz" or not MD5.fullmatch(path.stem):
            continue
        md5 = path.name[:32]
        by_md5.setdefault(md5, Item("lpd5", md5, (info.path,), info.n_bytes))
        if TRACK_ID.fullmatch(path.parent.name):
            tracks.setdefault(md5, []).append(path.parent.name)
    _refuse_other_tracks(files, config.root, by_md5)
    meters = _read_midi_info(files, config.midi_info)
    return [
        _with_side(by_md5[md5], meters.get(md5), tracks.get(md5)) for md5 in sorted(by_md5)
    ]


def parse(item: Item, blobs: tuple[bytes, ...], config: Lpd5Config, limits: Limits) -> Song:
    """The Song in one npz; raises BadInput."""
    side: dict[str, Any] = json.loads(item.side or "{}")
    beat = beat_quarters(*side["meter"]) if "meter" in side else QUARTER
    roll = read_npz(blobs[0], limits, beat)
    bars, meter_source, confidence = _bars(roll, side, config.estimate_meter, limits)
    return Song(
        "lpd5", item.key, roll.notes, bars, roll.tempi, meter_source,
        source_sha256=hashlib.sha256(blobs[0]).hexdigest(), folder_track_ids=tuple(side.get("tracks", ())),
        origin=Origin(meter_confidence=confidence),
    )  # fmt: skip


def _refuse_other_tracks(files: Files, root: str, by_md5: Mapping[str, Item]) -> None:
    """Raise ValueError where the first file that can be read has other tracks than
    LPD-5's."""
    limits = Limits()
    plain = [
        item for item in by_md5.values() if 0 < (item.n_bytes or 0) <= limits.max_file_bytes
    ]
    for item in plain[:FILES_LOOKED_AT]:
        try:
            foreign = foreign_tracks(files.read(root, item.paths[0]), limits)
        except (BadInput, OSError):
            continue
        if foreign:
            raise ValueError(
                f"{item.paths[0]} is not LPD-5's: it holds {foreign} and not {', '.join(TRACKS)}; "
                "point root at lpd_5_full, lpd_5_matched or lpd_5_cleansed"
            )
        return


def _with_side(item: Item, meter: dict[str, Any] | None, tracks: list[str] | None) -> Item:
    side = {**(meter or {}), **({"tracks": sorted(tracks)} if tracks else {})}
    return replace(item, side=json.dumps(side, sort_keys=True) if side else "")


def _read_midi_info(files: Files, path: str) -> dict[str, dict[str, Any]]:
    """md5 → {meter: [numerator, denominator]}, leaving out songs that have no one meter
    to be laid."""
    if not path:
        return {}
    try:
        entries = json.loads(files.read("", path)).items()
        meters = {
            PurePosixPath(name).stem: _meter(entry)
            for name, entry in entries
            if entry["constant_time_signature"]
        }
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not LPD's midi_info.json (md5 to constant_time_signature): {error}"
        ) from error
    return {name: meter for name, meter in meters.items() if meter}


def _meter(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The meter of one entry, None where it is of a kind that no bars are laid on; raises
    ValueError."""
    signature = entry["constant_time_signature"]
    numerator, denominator = map(
        int, signature.split("/") if isinstance(signature, str) else signature
    )
    if numerator < 1 or denominator < 1:
        raise ValueError(f"no such meter: {signature}")
    if numerator > 64 or denominator not in (1, 2, 4, 8, 16, 32):
        return None
    return {"meter": [numerator, denominator]}


def _bars(
    roll: Roll, side: dict[str, Any], may_estimate: bool, limits: Limits
) -> tuple[np.ndarray, str, float | None]:
    """BAR array, the word for where it comes from, and how likely an estimate is, else
    None."""
    end = covered_ticks(roll.notes)
    marks = roll.downbeats
    if len(marks) > 1:
        known = marked_to_the_end(marks, end)
        bars = downbeat_bars(marks, end, limits.max_bars)
        return bars, "downbeats" if known else "downbeats_then_assumed", None
    numerator, denominator, source, confidence = _one_meter(roll, side, may_estimate)
    # A file of one meter has its first downbeat marked alone; what stands before it is a
    # pick-up.
    length = 4 * TICKS_PER_QUARTER * numerator // denominator
    pick_up = int(marks[0]) % length if len(marks) else 0
    return regular_bars(end, numerator, denominator, pick_up), source, confidence


def _one_meter(
    roll: Roll, side: dict[str, Any], may_estimate: bool
) -> tuple[int, int, str, float | None]:
    """Numerator and denominator of all bars, the word for where they come from, and how
    likely an estimate is, else None."""
    if "meter" in side:
        numerator, denominator = side["meter"]
        return numerator, denominator, "midi_info", None
    meter = estimate_meter(roll.notes) if may_estimate else None
    if meter is None:
        return 4, 4, "assumed_4_4", None
    return meter.numerator, meter.denominator, "estimated", meter.confidence
