"""Source midi: any folder of MIDI files, of any name.

Programs become the five tracks as LPD made them of Lakh (merger_5.py of
lakh-pianoroll-dataset, get_merged of MuseGAN): drums are channel 10; 0-7 Piano, 24-31
Guitar, 32-39 Bass, and of the others all to 95 and 104-111 Strings. Synthesizer effects
(96-103), percussive sounds and sound effects (112-127) fit nowhere; they are counted.

A file named by its md5 is one song wherever it stands, as in Lakh: its key is the md5, and
TR... folders above it are the MSD tracks under which it is filed. Any other file's key is
its path without `.mid`, so that no file's key hangs on what else is there.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from pipelines.formats.midi import MidiFile, read_midi
from pipelines.formats.midi_played import (
    MAX_TRACKED_SECONDS,
    Music,
    Placed,
    can_be_tracked,
    is_better,
    keeps_its_beats,
    on_file_beats,
    on_tracked_beats,
    placed,
    trimmed,
)
from schemas.contracts import Files, Item, Limits
from schemas.ids import MD5, TRACK_ID
from schemas.reject import BadInput, Reason
from schemas.settings import PATH
from schemas.song import BASS, GUITAR, PIANO, STRINGS, TRACKS, Origin, Song

NAME = "midi"
ENDINGS = (".mid", ".midi", ".kar", ".rmi")
LOOKS_FOR = "*.mid, *.midi, *.kar, *.rmi in any case, files named by an md5 alone"
NOWHERE = "none"
_FORKS = ("__MACOSX/", "._")
_RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")


@dataclass(frozen=True)
class MidiConfig:
    """Settings of a folder of MIDI; `[sources.NAME] kind = "midi"` gives it a name.

    root: folder or URL; pattern: which files, as a glob on their path below root in any case,
    in which `*` passes folders too, "" for LOOKS_FOR; reader: the library that reads them.

    beats: file takes the file's beats and bars, track finds them from the notes, auto (the
    default) tracks where the onsets do not keep the file's. trim: take off bars at the end in
    which notes only ring on; is_cut: the files are cut out of longer pieces, so that their
    end is no ending. programs: tracks of programs other than LPD's: `{"46" = "Guitar",
    "96-103" = "Strings", "118" = "none"}`.

    license, citation, url: what the card says of the folder. name: of the source.

    Raises ValueError where a program or a track of `programs` is none.
    """

    root: str = field(default="", metadata=PATH)
    pattern: str = ""
    reader: Literal["symusic", "miditoolkit"] = "symusic"
    beats: Literal["file", "track", "auto"] = "auto"
    trim: bool = False
    is_cut: bool = False
    programs: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    citation: str = ""
    url: str = ""
    name: str = NAME

    def __post_init__(self) -> None:
        track_of_programs(self.programs)


def track_of_programs(changes: Mapping[str, str]) -> dict[int, int | None]:
    """The track of each program 0-127, None for none: LPD's rule with `changes` laid
    over."""
    tracks: dict[int, int | None] = {}
    for program in range(128):
        tracks[program] = _track_of_family(program)
    for programs, name in changes.items():
        span = _RANGE.fullmatch(programs)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if not 0 <= first <= last <= 127:
            raise ValueError(
                f"programs: {programs!r} is no program from 0 to 127 and no range of them"
            )
        if name not in (*TRACKS, NOWHERE):
            raise ValueError(
                f"programs: {programs} goes to {', '.join(TRACKS)} or {NOWHERE}, not to {name!r}"
            )
        track = None if name == NOWHERE else TRACKS.index(name)
        tracks.update(dict.fromkeys(range(first, last + 1), track))
    return tracks


def _track_of_family(program: int) -> int | None:
    families = {0: PIANO, 3: GUITAR, 4: BASS}
    if program // 8 in families:
        return families[program // 8]
    return STRINGS if program < 96 or 104 <= program < 112 else None


def items(files: Files, config: MidiConfig) -> list[Item]:
    """One a song, sorted by key; raises ValueError where two files would be one song."""
    found: dict[str, Item] = {}
    filed: dict[str, set[str]] = {}
    for info in files.walk(config.root):
        if not is_chosen(info.path, config.pattern):
            continue
        key = key_of(info.path)
        first = found.setdefault(key, Item(config.name, key, (info.path,), info.n_bytes))
        if first.paths != (info.path,) and not MD5.fullmatch(key):
            raise ValueError(
                f"{first.paths[0]} and {info.path} would be one song: rename one"
            )
        folder = PurePosixPath(info.path).parent.name
        if MD5.fullmatch(key) and TRACK_ID.fullmatch(folder):
            filed.setdefault(key, set()).add(folder)
    return [_with_tracks(found[key], filed.get(key)) for key in sorted(found)]


def is_chosen(path: str, pattern: str) -> bool:
    """Whether a file is one of the source's; the second halves of files that macOS writes
    into archives never are."""
    name = PurePosixPath(path).name
    if name.startswith(_FORKS) or path.startswith(_FORKS):
        return False
    if pattern:
        return fnmatchcase(path.lower(), pattern.lower())
    return path.lower().endswith(ENDINGS) or MD5.fullmatch(name) is not None


def key_of(path: str) -> str:
    """The key of a file: its md5 where that is its name, else its path without `.mid`."""
    stem = PurePosixPath(path).stem
    if MD5.fullmatch(stem):
        return stem
    return path.removesuffix(".mid")


def _with_tracks(item: Item, tracks: Iterable[str] | None) -> Item:
    return replace(item, side=json.dumps(sorted(tracks))) if tracks else item


def parse(item: Item, blobs: tuple[bytes, ...], config: MidiConfig, limits: Limits) -> Song:
    """The Song in one file; raises BadInput."""
    midi = read_midi(blobs[0], limits, config.reader)
    found, unplaced = placed(midi, track_of_programs(config.programs))
    if not len(found.start):
        raise BadInput(
            Reason.MALFORMED,
            f"none of its {unplaced} notes is of a program that a track takes",
        )
    music = music_of(midi, found, config)
    tracked = music.confidence is not None
    file_source = "midi" if midi.time_signatures else "assumed_4_4"
    is_named = not MD5.fullmatch(item.key)
    return Song(
        source=config.name,
        source_key=item.key,
        notes=music.notes,
        bars=music.bars,
        tempi=music.tempi,
        meter_source="tracked" if tracked else file_source,
        title=PurePosixPath(item.key).name if is_named else None,
        source_sha256=hashlib.sha256(blobs[0]).hexdigest(),
        folder_track_ids=tuple(json.loads(item.side or "[]")),
        origin=Origin(
            meter_confidence=music.confidence,
            note_seconds=music.seconds if tracked else np.empty(0, np.float32),
            key_meta=music.key_meta,
            rounded_onsets=midi.rounded_onsets,
            unplaced_notes=unplaced,
            doubled_notes=music.doubled,
            is_cut=config.is_cut,
        ),
    )


def music_of(midi: MidiFile, found: Placed, config: MidiConfig) -> Music:
    """Notes on the beats that the settings ask for; raises BadInput where beats are to be
    tracked and the music is too long for it."""
    is_short = can_be_tracked(found)
    if config.beats == "track" and not is_short:
        raise BadInput(
            Reason.TOO_LARGE,
            f"it lasts over {MAX_TRACKED_SECONDS:g} s, the longest in which beats are tracked",
        )
    music = None
    if config.beats == "track":
        music = on_tracked_beats(midi, found)
    elif config.beats == "auto" and is_short and not keeps_its_beats(found):
        tracked = on_tracked_beats(midi, found)
        music = tracked if is_better(tracked, found) else None
    music = music or on_file_beats(midi, found)
    return trimmed(music) if config.trim else music
