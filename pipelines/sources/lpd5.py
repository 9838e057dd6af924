"""Lakh Pianoroll Dataset, five tracks: LPD-5-full, matched and cleansed.

Two layouts: `<hex>/<md5>.npz` (full) and `A/B/C/TR…/<md5>.npz` (matched, cleansed). In the
latter one md5 may stand under several tracks with the same content; it is one song, read
from its first path. Bars come from a full downbeat array if there is one, else from LPD's
side file `midi_info.json`, else they are taken for 4/4 from the start.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipelines.formats.npz import Roll, downbeat_bars, read_npz
from schemas.contracts import Files, Item, Limits
from schemas.ids import MD5, TRACK_ID
from schemas.settings import PATH
from schemas.song import TICKS_PER_QUARTER, Song, covered_ticks, regular_bars


@dataclass(frozen=True)
class Lpd5Config:
    """root: folder or URL that holds the npz; midi_info: path of LPD's midi_info.json,
    "" for none."""

    root: str = field(default="", metadata=PATH)
    midi_info: str = field(default="", metadata=PATH)


def items(files: Files, config: Lpd5Config) -> list[Item]:
    """One Item per md5, sorted, carrying its MSD folders and what midi_info.json says of
    it.

    Raises ValueError where midi_info is given and is not LPD's file.
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
    meters = _read_midi_info(files, config.midi_info)
    return [
        _with_side(by_md5[md5], meters.get(md5), tracks.get(md5)) for md5 in sorted(by_md5)
    ]


def parse(item: Item, blobs: tuple[bytes, ...], config: Lpd5Config, limits: Limits) -> Song:
    """The Song in one npz; raises BadInput."""
    roll = read_npz(blobs[0], limits)
    side: dict[str, Any] = json.loads(item.side or "{}")
    bars, meter_source = _bars(roll, side)
    return Song(
        "lpd5", item.key, roll.notes, bars, roll.tempi, meter_source,
        source_sha256=hashlib.sha256(blobs[0]).hexdigest(), folder_track_ids=tuple(side.get("tracks", ())),
    )  # fmt: skip


def _with_side(item: Item, meter: dict[str, Any] | None, tracks: list[str] | None) -> Item:
    side = {**(meter or {}), **({"tracks": sorted(tracks)} if tracks else {})}
    return replace(item, side=json.dumps(side, sort_keys=True) if side else "")


def _read_midi_info(files: Files, path: str) -> dict[str, dict[str, Any]]:
    """md5 → {meter: [numerator, denominator], first_beat: seconds}, leaving out songs
    that have no one meter to be laid."""
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
            f"{path} is not LPD's midi_info.json (md5 to constant_time_signature and first_beat_time): {error}"
        ) from error
    return {name: meter for name, meter in meters.items() if meter}


def _meter(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The meter and first beat of one entry, None where they are of a kind that no bars
    are laid on; raises ValueError."""
    signature = entry["constant_time_signature"]
    numerator, denominator = map(
        int, signature.split("/") if isinstance(signature, str) else signature
    )
    if numerator < 1 or denominator < 1:
        raise ValueError(f"no such meter: {signature}")
    first_beat = float(entry.get("first_beat_time") or 0.0)
    if (
        numerator > 64
        or denominator not in (1, 2, 4, 8, 16, 32)
        or not 0 <= first_beat < 3600
    ):
        return None
    return {"meter": [numerator, denominator], "first_beat": first_beat}


def _bars(roll: Roll, side: dict[str, Any]) -> tuple[np.ndarray, str]:
    """BAR array and the word for where it comes from."""
    end = covered_ticks(roll.notes)
    if len(roll.downbeats) > 1:
        return downbeat_bars(roll.downbeats, end), "downbeats"
    if "meter" in side:
        numerator, denominator = side["meter"]
        first = _tick_at(roll.tempi, side["first_beat"])
        # A first beat past the music says nothing; of a silence before it, what is over
        # whole bars is the pick-up.
        pick_up = (
            first % (4 * TICKS_PER_QUARTER * numerator // denominator) if first < end else 0
        )
        return regular_bars(end, numerator, denominator, pick_up), "midi_info"
    return regular_bars(end), "assumed_4_4"


def _tick_at(tempi: np.ndarray, seconds: float) -> int:
    """The tick nearest to a time, following the tempo changes."""
    ticks_per_second = tempi["bpm"].astype(np.float64) * TICKS_PER_QUARTER / 60
    elapsed = np.concatenate(
        [[0.0], np.cumsum(np.diff(tempi["start"]) / ticks_per_second[:-1])]
    )
    at = int(np.searchsorted(elapsed, seconds, side="right")) - 1
    return round(float(tempi["start"][at] + (seconds - elapsed[at]) * ticks_per_second[at]))
