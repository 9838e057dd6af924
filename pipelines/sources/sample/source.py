"""The embedded sample: real music from the corpus that comes with music21, in the forms of
the real corpora.

`prepare` writes, once, below its root:

* `abc/<collection>/<key>.abc` and `abc/TR…/<key>.abc`: the tunes of Aird, O'Neill and Ryan,
  a file each;
* `lpd_5/lpd_5_full/<hex>/<md5>.npz`: multi-part scores in LPD-5's form (unlike LPD's, with
  every bar in `downbeat`);
* `lpd_matched_ids.txt`, `msd/A/B/C/TR….h5`, `sample_names.tsv`,
  `sample_valence_energy.csv`: match list, metadata, names and labels in the forms of LPD,
  MSD and the label tables; `songs.jsonl`: what is known of each file.

The track ids begin with TRSAMPL: no MSD track is meant. The labels are a rule's, not Spotify's and
no listener's (see synthetic_labels.py), and their source says so. Scores are labelled by the match list,
tunes of Aird and Ryan by their TR… folder; O'Neill's have none, so that there are unlabelled songs.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.formats.abc import read_tune
from pipelines.formats.abc_header import split_tunes
from pipelines.formats.npz import read_npz
from pipelines.formats.npz_time import downbeat_bars
from pipelines.formats.npz_write import write_npz
from pipelines.sources.sample import music21_corpus
from pipelines.sources.sample.scores import read_score
from pipelines.sources.sample.synthetic_labels import (
    LABEL_SOURCE,
    describe_track,
    msd_path,
    rule_labels,
    sample_id,
    segment_chroma,
)
from schemas.code import code_sha256
from schemas.contracts import Files, Item, Limits
from schemas.reject import BadInput, Reason
from schemas.settings import PATH, SettingsError, public
from schemas.song import Song, covered_ticks, make_tempi

LABELS = "sample_valence_energy.csv"
MATCHES = "lpd_matched_ids.txt"
NAMES = "sample_names.tsv"
MSD = "msd"
INDEX = "songs.jsonl"
MANIFEST = "sample.json"
# The code that decides what is written from the same music21: where it has changed, the sample
# is written anew.
CODE = (
    "schemas/*.py",
    "pipelines/formats/*.py",
    "pipelines/labels/msd.py",
    "pipelines/sources/sample/*.py",
)
UNLABELLED = "oneills"


@dataclass(frozen=True)
class SampleConfig:
    """root: folder that is made; tunes, scores: how many at most, None for all; seed: which
    ones, and default tempi."""

    root: str = field(default="out/sample-raw", metadata=PATH)
    tunes: int | None = None
    scores: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.tunes or 0, self.scores or 0) < 0:
            raise ValueError("tunes and scores must not be below 0")


# (path, metadata by MSD's names, segments_start, segments_pitches)
WriteTrack = Callable[[str, Mapping[str, Any], np.ndarray, np.ndarray], None]


def items(files: Files, config: SampleConfig) -> list[Item]:
    """One Item a song, sorted by key."""
    sizes = {info.path: info.n_bytes for info in files.walk(config.root)}
    if INDEX not in sizes:
        return []
    found = []
    for line in files.read(config.root, INDEX).decode().splitlines():
        entry = json.loads(line)
        path = entry["path"]
        found.append(Item("sample", entry["key"], (path,), sizes.get(path), side=line))
    return sorted(found)


def parse(
    item: Item, blobs: tuple[bytes, ...], config: SampleConfig, limits: Limits
) -> Song:
    """The Song in one tune or npz; raises BadInput."""
    side = json.loads(item.side)
    is_score = item.paths[0].endswith(".npz")
    if is_score:
        notes, bars, tempi = _read_roll(blobs[0], limits)
    else:
        notes, bars, tempi = _read_tune(blobs[0], side["default_bpm"], limits)
    return Song(
        source="sample",
        source_key=item.key,
        notes=notes,
        bars=bars,
        tempi=tempi,
        meter_source="downbeats" if is_score else "score",
        title=side["title"] or None,
        artist=side["artist"] or None,
        genre=side["genre"],
        source_sha256=hashlib.sha256(blobs[0]).hexdigest(),
        folder_track_ids=tuple(side["tracks"]),
    )


def _read_roll(blob: bytes, limits: Limits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    roll = read_npz(blob, limits)
    n_lines = len(roll.downbeats)
    if n_lines < 2:
        message = f"{n_lines} bar lines, the sample has one a bar and two at least"
        raise BadInput(Reason.MALFORMED, message)
    bars = downbeat_bars(roll.downbeats, covered_ticks(roll.notes), limits.max_bars)
    return roll.notes, bars, roll.tempi


def _read_tune(
    blob: bytes, default_bpm: float | None, limits: Limits
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts = split_tunes(blob)
    if len(texts) != 1:
        raise BadInput(Reason.MALFORMED, f"{len(texts)} tunes in a file of one")
    tune = read_tune(texts[0], limits, carry_accidentals=True)
    if default_bpm is None or len(tune.tempi) > 1:
        return tune.notes, tune.bars, tune.tempi
    return tune.notes, tune.bars, make_tempi([0], [default_bpm])


def prepare(config: SampleConfig, write_track: WriteTrack) -> None:
    """Write the sample below config.root, unless it stands there already; write_track
    writes one MSD HDF5 file.

    The folder appears whole or not at all. Raises SettingsError where something else is at
    config.root.
    """
    if "://" in config.root:
        raise SettingsError(
            f"{config.root} is not a local folder: choose another sources.sample.root"
        )
    root = Path(config.root).absolute()
    made_by = {"form": code_sha256(*CODE), "music21": version("music21")}
    text = json.dumps({**made_by, **public(config)}) + "\n"
    if _holds_sample(root):
        if (root / MANIFEST).read_text("utf-8") == text:
            return
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise SettingsError(
            f"{root} holds something else than the sample: choose another sources.sample.root"
        )
    partial = root.with_name(f"{root.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write(partial, config, write_track)
        _store(partial, MANIFEST, text.encode())
        shutil.rmtree(root, ignore_errors=True)
        os.replace(partial, root)
    except OSError as error:
        raise SettingsError(
            f"cannot write to {root} ({error.strerror}): choose another sources.sample.root"
        ) from error


def _holds_sample(root: Path) -> bool:
    """Whether a sample, of this form or another, stands at root: only that may be
    replaced."""
    try:
        return {"form", "music21"} <= set(json.loads((root / MANIFEST).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return False


def _write(folder: Path, config: SampleConfig, write_track: WriteTrack) -> None:
    entries: list[dict[str, Any]] = []
    labels: dict[str, str] = {}
    matches: list[str] = []
    names: list[str] = []
    for tune in music21_corpus.tunes(config.seed, config.tunes):
        entry, row = _write_tune(folder, tune)
        entries.append(entry)
        labels |= row
    for piece in music21_corpus.pieces(config.seed, config.scores):
        entry, track_id, label = _write_piece(folder, piece, write_track)
        entries.append(entry)
        if track_id is None:
            continue
        matches.append(f"{entry['key']}    {track_id}")
        names.append(f"{entry['key']}\t{piece.composer}\t{piece.title}")
        # Two encodings of one work are two songs and one track, labelled by the first.
        labels = {track_id: label} | labels
    _store_lines(
        folder, INDEX, sorted(json.dumps(entry, ensure_ascii=False) for entry in entries)
    )
    _store_lines(folder, MATCHES, sorted(matches))
    _store_lines(folder, NAMES, ["md5\tartist\ttitle", *sorted(names)])
    header = "track_id,song_id,artist,title,tempo,valence,energy,source"
    _store_lines(
        folder, LABELS, [header, *(labels[track_id] for track_id in sorted(labels))]
    )


def _write_tune(
    folder: Path, tune: music21_corpus.Tune
) -> tuple[dict[str, Any], dict[str, str]]:
    """Store a tune; its entry of the index and its row of the label table, if it has one."""
    track_id = sample_id("TR", tune.key)
    labels: dict[str, str] = {}
    if tune.mode and not tune.key.startswith(UNLABELLED):
        # A tune that cannot be read is left as it is: its reader refuses it again, where it
        # is counted.
        with contextlib.suppress(BadInput):
            notes, _, tempi = _read_tune(tune.text.encode(), tune.default_bpm, Limits())
            bpm = tempi["bpm"][0]
            values = rule_labels(notes, tempi, tune.mode)
            labels[track_id] = _label_row(track_id, tune, bpm, values)
    path = f"abc/{track_id if labels else tune.key.partition('-')[0]}/{tune.key}.abc"
    _store(folder, path, tune.text.encode())
    return _entry(path, tune.key, tune, tune.default_bpm, list(labels)), labels


def _write_piece(
    folder: Path, piece: music21_corpus.Piece, write_track: WriteTrack
) -> tuple[dict[str, Any], str | None, str]:
    """Store a score and, unless it stands there, its MSD file; its entry of the index, its
    track id and its label row.

    A score that this music21 cannot read becomes an empty file without a track: its reader
    refuses it, where it is counted.
    """
    try:
        score = read_score(music21_corpus.corpus_folder() / piece.path, piece.default_bpm)
    except BadInput:
        return _store_npz(folder, piece, b"", b""), None, ""
    notes, tempi = score.notes, score.tempi
    end = int(score.bars["start"][-1] + score.bars["length"][-1])
    npz = write_npz(notes, tempi, end, piece.path, score.bars["start"])
    track = describe_track(piece.composer, piece.title, tempi, end, score.tonic, score.mode)
    track_id = track["track_id"]
    h5 = folder / MSD / msd_path(track_id)
    if not h5.exists():
        h5.parent.mkdir(parents=True, exist_ok=True)
        write_track(str(h5), track, *segment_chroma(notes, tempi))
    values = rule_labels(notes, tempi, score.mode or "major")
    label = _label_row(track_id, piece, tempi["bpm"][0], values)
    return _store_npz(folder, piece, notes.tobytes(), npz), track_id, label


def _store_npz(
    folder: Path, piece: music21_corpus.Piece, content: bytes, npz: bytes
) -> dict[str, Any]:
    # The path is hashed too: two encodings of a piece are two files, as they are in Lakh.
    md5 = hashlib.md5(piece.path.encode() + content, usedforsecurity=False).hexdigest()
    path = f"lpd_5/lpd_5_full/{md5[0]}/{md5}.npz"
    _store(folder, path, npz)
    return _entry(path, md5, piece, None, [])


def _entry(
    path: str,
    key: str,
    song: music21_corpus.Tune | music21_corpus.Piece,
    default_bpm: float | None,
    tracks: list[str],
) -> dict[str, Any]:
    return {
        "key": key,
        "path": path,
        "title": song.title,
        "artist": song.composer,
        "genre": song.genre,
        "default_bpm": default_bpm,
        "tracks": tracks,
    }


def _label_row(
    track_id: str,
    song: music21_corpus.Tune | music21_corpus.Piece,
    bpm: float,
    values: tuple[float, float],
) -> str:
    """A line of the label table; values: valence and energy."""
    song_id = f"SO{track_id[2:]}"
    cells = [
        track_id,
        song_id,
        song.composer,
        song.title,
        f"{bpm:g}",
        *values,
        LABEL_SOURCE,
    ]
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(cells)
    return row.getvalue()


def _store_lines(folder: Path, path: str, lines: Iterable[str]) -> None:
    _store(folder, path, "".join(f"{line}\n" for line in lines).encode())


def _store(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
