"""Source nottingham: folk tunes of the Nottingham Music Database, in any of the three forms
in which they go round.

jukedeck  `MIDI/jigs12.mid` (melody track, chord track) and `ABC_cleaned/jigs.abc`, whose tune `X: 12` gives the title
lisa      `train|valid|test/*.mid` (Boulanger-Lewandowski, Bengio, Vincent, ICML 2012), of two tracks as well
abc       `*.abc` anywhere, and `*.txt` with tunes in them, each of any number of tunes
flat      `*.mid` anywhere: MIDI files of either kind without their folders

Capitals in names of folders and endings do not matter, `validation` is `valid`. Of a tune in
`ABC_cleaned` and in a folder beside it (`ABC_original`) the cleaned one is read.

What jukedeck's MIDI files are like (1,034, each compared with the ABC tune of its number):
music21 made them from the ABC. The time signature stands from tick 0 and a pick-up is at
the end of a first bar that is silent up to it. No tempo. Accidentals hold for their note
alone; ties are lost where a chord symbol or a space stands between; a repeat sign without a
start sign goes back to the beginning, so that a tune of six parts may be played out five
times over.

"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from pipelines.formats.abc import read_tune
from pipelines.formats.abc_header import AbcHeader, read_header, split_tunes
from pipelines.formats.midi import MidiFile, midi_bars, midi_tempi, read_midi
from schemas.contracts import FileInfo, Files, Item, Limits
from schemas.reject import BadInput, Reason
from schemas.settings import PATH
from schemas.song import GUITAR, PIANO, Song, covered_ticks, make_notes, make_tempi

NAME = "nottingham"
_GENRES = {
    "ashover": "ashover",
    "hpps": "hornpipe",
    "jigs": "jig",
    "morris": "morris",
    "playford": "playford",
    "reels": "reel",
    "slip": "slip jig",
    "waltzes": "waltz",
    "xmas": "christmas",
}
# In the order in which `auto` looks for them
LAYOUTS = ("jukedeck", "lisa", "abc", "flat")
LOOKS_FOR = "MIDI/*.mid, train|valid|test/*.mid, *.abc, *.txt with tunes (X:), *.mid"
_LISA_FOLDERS = ("train", "valid", "validation", "test")
_ABC_ENDINGS = (".abc", ".txt")
_CLEANED = "abc_cleaned"
_NUMBERED = re.compile(r"(.*?)(\d+)")
_NUMBER = re.compile(r"^X:[ \t]*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class NottinghamConfig:
    """root: folder of the tunes; layout: auto takes the first of jukedeck, lisa, abc, flat that root
    has files of.

    carry_accidentals: whether ABC's accidentals hold to the end of their bars
    (formats.abc.read_tune).
    """

    root: str = field(default="", metadata=PATH)
    layout: Literal["auto", "jukedeck", "lisa", "abc", "flat"] = "auto"
    carry_accidentals: bool = True


def items(files: Files, config: NottinghamConfig) -> list[Item]:
    """The tunes below config.root, sorted by key: `jigs12`, `ashover_simple_chords_1` or
    `<file>-<X: number>`."""
    infos = files.walk(config.root)
    if config.layout != "auto":
        return _items_of(config.layout, files, config.root, infos)
    for layout in LAYOUTS:
        found = _items_of(layout, files, config.root, infos)
        if found:
            return found
    return []


def _items_of(layout: str, files: Files, root: str, infos: list[FileInfo]) -> list[Item]:
    if layout == "abc":
        found = _abc_items(files, root, infos)
    else:
        is_one = {"jukedeck": _is_jukedeck, "lisa": _is_lisa, "flat": _is_midi}[layout]
        found = _midi_items([info for info in infos if is_one(info.path)], infos)
    return sorted(_with_unique_keys(found), key=lambda item: item.key)


def _is_midi(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in (".mid", ".midi")


def _is_jukedeck(path: str) -> bool:
    return _is_midi(path) and PurePosixPath(path).parent.name.lower() == "midi"


def _is_lisa(path: str) -> bool:
    return _is_midi(path) and PurePosixPath(path).parent.name.lower() in _LISA_FOLDERS


def _midi_items(chosen: list[FileInfo], infos: list[FileInfo]) -> Iterator[Item]:
    """One a MIDI file; its second path is the ABC file of its tune, if there is one."""
    abc_files = {info.path.lower(): info for info in infos if info.n_bytes is not None}
    for info in chosen:
        path = PurePosixPath(info.path)
        abc = abc_files.get(_abc_path(path).lower())
        if info.n_bytes is None or abc is None or abc.n_bytes is None:
            yield Item(NAME, path.stem, (info.path,), info.n_bytes)
        else:
            yield Item(NAME, path.stem, (info.path, abc.path), info.n_bytes + abc.n_bytes)


def _abc_path(midi: PurePosixPath) -> str:
    """Where jukedeck keeps the tune of a MIDI file: MIDI/jigs12.mid in ABC_cleaned/jigs.abc."""
    match = _NUMBERED.fullmatch(midi.stem)
    book = match[1] if match else midi.stem
    return str(midi.parent.parent / "ABC_cleaned" / f"{book}.abc")


def _abc_items(files: Files, root: str, infos: list[FileInfo]) -> Iterator[Item]:
    """One a tune; a file that has none, is too large or cannot be read is one item, which its
    reading then rejects."""
    for info in _without_originals(infos):
        path = PurePosixPath(info.path)
        if path.suffix.lower() not in _ABC_ENDINGS:
            continue
        numbers = _tune_numbers(files, root, info)
        if not numbers and path.suffix.lower() == ".abc":
            numbers = ["0"]
        for part, number in enumerate(numbers):
            yield Item(NAME, f"{path.stem}-{number}", (info.path,), info.n_bytes, part)


def _without_originals(infos: list[FileInfo]) -> list[FileInfo]:
    """The files but those that stand cleaned, under the same name, in ABC_cleaned beside them."""
    cleaned: set[tuple[str, str]] = set()
    for info in infos:
        path = PurePosixPath(info.path)
        if path.parent.name.lower() == _CLEANED:
            cleaned.add((str(path.parent.parent), path.stem.lower()))
    kept = []
    for info in infos:
        path = PurePosixPath(info.path)
        is_original = path.parent.name.lower().startswith("abc") and (
            path.parent.name.lower() != _CLEANED
        )
        if not (is_original and (str(path.parent.parent), path.stem.lower()) in cleaned):
            kept.append(info)
    return kept


def _tune_numbers(files: Files, root: str, info: FileInfo) -> list[str]:
    if info.n_bytes is None or info.n_bytes > Limits.max_file_bytes:
        return []
    try:
        tunes = split_tunes(files.read(root, info.path))
    except OSError:
        return []
    numbers = [_NUMBER.match(tune) for tune in tunes]
    return [match[1] if match else f"part{part}" for part, match in enumerate(numbers)]


def _with_unique_keys(found: Iterable[Item]) -> Iterator[Item]:
    """The items, a key that came before (the same number or file name twice) followed by
    `.2`, `.3`, ..."""
    times: Counter[str] = Counter()
    taken: set[str] = set()
    for item in found:
        key = item.key
        # A file may bear such a name of its own.
        while key in taken:
            times[item.key] += 1
            key = f"{item.key}.{times[item.key] + 1}"
        taken.add(key)
        yield replace(item, key=key)


def parse(
    item: Item, blobs: tuple[bytes, ...], config: NottinghamConfig, limits: Limits
) -> Song:
    """One tune: melody on the piano track, chords on the guitar track, bars as its file has
    them.

    Jukedeck's and LISA's MIDI files start with the whole bar in which a pick-up stands,
    silent up to it; ABC's pick-up bars are as short as they are. Raises BadInput for a bad
    file.
    """
    if PurePosixPath(item.paths[0]).suffix.lower() in _ABC_ENDINGS:
        return _song_of_abc(item, blobs[0], config, limits)
    return _song_of_midi(item, blobs, limits)


def _song_of_abc(item: Item, blob: bytes, config: NottinghamConfig, limits: Limits) -> Song:
    if not blob.strip():
        raise BadInput(Reason.EMPTY_FILE, "no text")
    tunes = split_tunes(blob)
    if item.part >= len(tunes):
        raise BadInput(
            Reason.MALFORMED,
            f"{len(tunes)} tunes (X: fields), number {item.part} from 0 is asked for",
        )
    text = tunes[item.part]
    tune = read_tune(text, limits, config.carry_accidentals)
    return Song(
        source=NAME,
        source_key=item.key,
        notes=tune.notes,
        bars=tune.bars,
        tempi=tune.tempi,
        meter_source="score",
        title=tune.header.title or None,
        artist=tune.header.composer or None,
        genre=_genre(item, tune.header),
        source_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _song_of_midi(item: Item, blobs: tuple[bytes, ...], limits: Limits) -> Song:
    midi = read_midi(blobs[0], limits)
    text = _tune_of_number(item, blobs[1]) if len(blobs) > 1 else ""
    header = read_header(text) if text else None
    notes = _notes(midi)
    tempi = midi_tempi(midi)
    # No file of jukedeck's has a tempo event; a Q: in the tune's header is the nearest thing.
    if header and header.tempo_bpm and not midi.tempi:
        tempi = make_tempi([0], [header.tempo_bpm])
    return Song(
        source=NAME,
        source_key=item.key,
        notes=notes,
        bars=midi_bars(midi, covered_ticks(notes)),
        tempi=tempi,
        meter_source="score" if midi.time_signatures else "assumed_4_4",
        title=(header.title or None) if header else None,
        artist=(header.composer or None) if header else None,
        genre=_genre(item, header),
        source_sha256=hashlib.sha256(blobs[0] + text.encode()).hexdigest(),
    )


def _tune_of_number(item: Item, blob: bytes) -> str:
    """The tune with the X: number that ends the MIDI file's name; numbers skip where a
    tune was taken out."""
    match = _NUMBERED.fullmatch(PurePosixPath(item.paths[0]).stem)
    if match is None:
        return ""
    tunes = {}
    for tune in split_tunes(blob):
        number = _NUMBER.match(tune)
        if number:
            tunes[number[1]] = tune
    return tunes.get(match[2], "")


def _notes(midi: MidiFile) -> np.ndarray:
    """NOTE array: the first track that has notes is the melody, the others are chords."""
    parts = []
    for i, track in enumerate(midi.tracks):
        role = np.full(len(track.start), PIANO if i == 0 else GUITAR)
        columns = (track.start, track.duration, track.pitch, track.velocity, role)
        parts.append(np.stack(columns))
    start, duration, pitch, velocity, role = np.concatenate(parts, axis=1)
    return make_notes(start, duration, pitch, velocity, role)


def _genre(item: Item, header: AbcHeader | None) -> str | None:
    """R: of the tune, else the family that its file is named after."""
    if header and header.rhythm:
        return header.rhythm.lower()
    stem = PurePosixPath(item.paths[0]).stem.lower()
    for family, genre in _GENRES.items():
        if stem.startswith(family):
            return genre
    return None
