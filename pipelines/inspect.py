"""inspect: what the readers make of single files, before any build: tracks, meters, tempi,
keys, or why a file is refused."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.beam.reading import Reading, make_row
from pipelines.beam.sandbox import Sandbox
from pipelines.config import BuildConfig
from pipelines.formats.abc_header import split_tunes
from pipelines.formats.midi import read_midi
from pipelines.formats.npz import foreign_tracks
from pipelines.registry import FEATURES, SOURCES
from pipelines.sources.midi import MidiConfig, track_of_programs
from schemas.contracts import Item, Limits
from schemas.keys import KEY_NAMES, NO_KEY
from schemas.reject import BadInput, Reason
from schemas.remi import RemiConfig
from schemas.row import from_row
from schemas.settings import SettingsError, build, override
from schemas.song import TRACKS, Song

# The source that reads a file of each ending; any other is tried as MIDI.
READ_BY = {".npz": "lpd5", ".abc": "nottingham"}
# Numbers of a row that say what reading, rounding and tokens cost.
LOSSES = (
    "rounded_onsets", "unplaced_notes", "doubled_notes", "moved_onsets", "clipped_durations",
    "dropped_pitches", "dropped_positions",
)  # fmt: skip


def inspect(paths: Sequence[str], assignments: Sequence[str]) -> list[dict[str, Any]]:
    """What each file is read as, one entry a song; assignments: settings of the source midi, as
    key=value.

    Raises SettingsError where a file is not there or a setting is none.
    """
    config = build(MidiConfig, override({}, assignments), "midi")
    for path in paths:
        if not Path(path).is_file():
            raise SettingsError(f"no file at {path}")
    sandbox = Sandbox(Limits().read_seconds)
    try:
        return [entry for path in paths for entry in _inspect_file(path, config, sandbox)]
    finally:
        sandbox.close()


def _inspect_file(
    path: str, config: MidiConfig, sandbox: Sandbox
) -> Iterator[dict[str, Any]]:
    """One entry, or one a tune of an ABC file."""
    read_by = READ_BY.get(Path(path).suffix.lower(), "midi")
    blob, name = Path(path).read_bytes(), PurePosixPath(path).stem
    parts = max(len(split_tunes(blob)), 1) if read_by == "nottingham" else 1
    for part in range(parts):
        key = f"{name}:{part}" if parts > 1 else name
        item = Item(read_by, key, (PurePosixPath(path).name,), len(blob), part)
        says: dict[str, Any] = {"file": path, "read_as": read_by}
        if parts > 1:
            says["tune"] = part
        try:
            if not blob:
                raise BadInput(Reason.EMPTY_FILE, "it has no bytes")
            yield says | sandbox.call(describe, item, blob, config)
        except BadInput as bad:
            yield says | {"refused": bad.reason.value, "detail": bad.detail}


def describe(item: Item, blob: bytes, config: MidiConfig) -> dict[str, Any]:
    """What one song of a file is read as; raises BadInput."""
    limits, source = Limits(), SOURCES[item.source]
    if item.source == "lpd5" and (foreign := foreign_tracks(blob, limits)):
        raise BadInput(Reason.MALFORMED, f"it is not LPD-5's: it holds {foreign}")
    settings = config if item.source == "midi" else source.config()
    defaults = BuildConfig(name="", filters={}, sources={})
    features = tuple(
        (one.compute, getattr(defaults, one.name) if one.name else None) for one in FEATURES
    )
    reading = Reading({}, features, RemiConfig(), limits)
    row = make_row(source.parse, item, (blob,), settings, reading)
    says = {"in_the_file": _file_tracks(blob, config)} if item.source == "midi" else {}
    return {**describe_row(row), **says}


def _file_tracks(blob: bytes, config: MidiConfig) -> list[dict[str, Any]]:
    """The file's own tracks, and which of the five takes each."""
    track_of = track_of_programs(config.programs)
    found = []
    for one in read_midi(blob, Limits(), config.reader).tracks:
        number = 0 if one.is_drum else track_of[one.program]
        found.append(
            {
                "name": one.name,
                "program": one.program,
                "is_drum": one.is_drum,
                "notes": len(one.start),
                "track": "none" if number is None else TRACKS[number],
            }
        )
    return found


def describe_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of songs says in a few words and numbers."""
    song = from_row(row)
    bpm = song.tempi["bpm"]
    return {
        "title": song.title,
        "seconds": round(float(row["seconds"]), 2),
        "notes": len(song.notes),
        "bars": len(song.bars),
        "tracks": {
            name: int(count)
            for name, count in zip(TRACKS, row["track_notes"], strict=True)
            if count
        },
        "meter_source": song.meter_source,
        "meter_confidence": _rounded(song.origin.meter_confidence),
        "meters": _meters(song),
        "tempi": {
            "changes": len(bpm),
            "slowest": _rounded(bpm.min()),
            "mean": _rounded(row["mean_bpm"]),
            "fastest": _rounded(bpm.max()),
        },
        "song_key": key_name(int(row["song_key"])),
        "keys": _runs([key_name(int(key)) for key in row["key"]]),
        "keys_of_the_file": _runs([key_name(int(key)) for key in song.origin.key_meta]),
        "tokens": int(row["n_tokens"]),
        "losses": {name: int(row[name]) for name in LOSSES if row[name]},
    }


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 3)


def key_name(key: int) -> str:
    """A key in words."""
    return "none" if key == NO_KEY else KEY_NAMES[key]


def _meters(song: Song) -> list[dict[str, Any]]:
    bars = zip(song.bars["numerator"], song.bars["denominator"], strict=True)
    return _runs([f"{numerator}/{denominator}" for numerator, denominator in bars])


def _runs(values: Sequence[str]) -> list[dict[str, Any]]:
    """Bars of one value after another: the value, the first bar (from 1), how many."""
    runs, first = [], 1
    for value, group in groupby(values):
        bars = len(list(group))
        runs.append({"is": value, "from_bar": first, "bars": bars})
        first += bars
    return runs


def inspect_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """The entries for a terminal."""
    return "\n\n".join("\n".join(_lines(entry)) for entry in entries)


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    tune = f", tune {entry['tune']}" if "tune" in entry else ""
    yield f"{entry['file']}{tune} (as {entry['read_as']})"
    if "refused" in entry:
        yield f"  refused   {entry['refused']}: {entry['detail']}"
        return
    if entry["title"]:
        yield f"  title     {entry['title']}"
    yield (
        f"  music     {entry['notes']:,} notes, {entry['bars']:,} bars, {entry['seconds']:g} s, "
        f"{entry['tokens']:,} tokens"
    )
    yield f"  tracks    {', '.join(f'{name} {n:,}' for name, n in entry['tracks'].items())}"
    for one in entry.get("in_the_file", ()):
        drums = " drums" if one["is_drum"] else ""
        yield (
            f"            program {one['program']}{drums}, {one['notes']:,} notes, "
            f"to {one['track']}  {one['name']}".rstrip()
        )
    sure = entry["meter_confidence"]
    yield f"  bars from {entry['meter_source']}{'' if sure is None else f' (confidence {sure:g})'}"
    yield f"  meters    {_said(entry['meters'])}"
    tempi = entry["tempi"]
    yield (
        f"  tempi     {tempi['mean']:g} bpm, {tempi['slowest']:g} to {tempi['fastest']:g}, "
        f"{tempi['changes']} in all"
    )
    yield f"  key       {entry['song_key']}; by bars {_said(entry['keys'])}"
    if entry["keys_of_the_file"]:
        yield f"  the file  {_said(entry['keys_of_the_file'])}"
    if entry["losses"]:
        losses = [f"{name.replace('_', ' ')} {n:,}" for name, n in entry["losses"].items()]
        yield f"  losses    {', '.join(losses)}"


# Runs of a song that are shown on a terminal.
_MOST_RUNS = 8


def _said(runs: Sequence[Mapping[str, Any]]) -> str:
    shown = [f"{run['is']} from bar {run['from_bar']}" for run in runs[:_MOST_RUNS]]
    more = f", and {len(runs) - _MOST_RUNS} more" if len(runs) > _MOST_RUNS else ""
    return (runs[0]["is"] if len(runs) == 1 else ", ".join(shown)) + more
