"""Spoil inputs of every kind and hand them to their readers, each in a child process: what comes
back must be a song, a Reject or a sentence; never another exception, a death or a hang.

    python tests/campaigns/mutations.py --data FOLDER --work EMPTY_FOLDER --seed 1 --number 20000

FOLDER holds lpd_5/lpd_5_full, nottingham, lmd_full and msd. A campaign: run by hand, no part of
`make test` (tests/campaigns/test_campaigns.py runs a few of each).
"""

import argparse
import contextlib
import io
import json
import random
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wild import ROOT, small_run, spoil, spoil_text

from pipelines.beam.sandbox import Sandbox
from schemas.reject import BadInput, Reason

CPU_SECONDS = 30.0


class Kind(NamedTuple):
    """What is spoilt: how many shares of the whole number, sound examples, how one is spoilt, what
    reads it and gives a word."""

    share: int
    examples: list[bytes]
    spoil: Callable[[bytes, random.Random], bytes]
    read: Callable[..., str]
    more: tuple[Any, ...] = ()


def spoil_zip(blob: bytes, chance: random.Random) -> bytes:
    """Half the time the archive, half the time what is in it, packed again."""
    if chance.random() < 0.5:
        return spoil(blob, chance)
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(blob)) as sound,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        names = sound.namelist()
        chosen = chance.choice(names)
        for name in names:
            data = sound.read(name)
            if name == chosen:
                if chance.random() < 0.1:
                    continue
                data = spoil(data, chance)
            made.writestr(name, data)
    return stream.getvalue()


def _row(source: str, name: str, blob: bytes) -> str:
    from pipelines.beam.reading import make_row
    from pipelines.config import BuildConfig
    from pipelines.ingest import reading
    from pipelines.registry import SOURCES
    from schemas.contracts import Item

    config = SOURCES[source].config()
    how = reading(BuildConfig("t", {}, sources={source: config}))
    item = Item(source, "a" * 32, (name,), len(blob))
    try:
        make_row(SOURCES[source].parse, item, (blob,), config, how)
    except BadInput as bad:
        if bad.reason == Reason.READER_FAILED:
            return f"ESCAPE {bad.detail}"
        return f"reject {bad.reason}"
    return "read"


def read_npz(blob: bytes) -> str:
    from pipelines.formats.npz import foreign_tracks
    from schemas.contracts import Limits

    with contextlib.suppress(BadInput):
        foreign_tracks(blob, Limits())
    return _row("lpd5", "a.npz", blob)


def read_abc(blob: bytes) -> str:
    return _row("nottingham", "a.abc", blob)


def read_midi(blob: bytes) -> str:
    return _row("nottingham", "MIDI/a.mid", blob)


def read_midi_for_models(blob: bytes, folder: str) -> str:
    from training.data.midi import read_midi
    from training.errors import RunFailed

    path = Path(folder, "x.mid")
    path.write_bytes(blob)
    try:
        read_midi(str(path))
    except RunFailed:
        return "sentence"
    return "read"


def read_h5(blob: bytes) -> str:
    from pipelines.labels.msd import read_segments, read_tracks

    word = "read"
    for read in (read_tracks, read_segments):
        try:
            read(blob)
        except BadInput as bad:
            word = f"reject {bad.reason}"
    return word


def read_side_file(blob: bytes, how: str, name: str) -> str:
    from pipelines.labels import matches, names, tables, tracks

    read = {
        "labels": tables.read_labels, "matches": matches.read_matches,
        "names": names.read_names, "tracks": tracks.read_unique_tracks,
    }  # fmt: skip
    try:
        read[how](blob, name)
    except ValueError:  # what the page makes a sentence of
        return "sentence"
    return "read"


def read_midi_info(blob: bytes, folder: str) -> str:
    from pipelines.io.files import BeamFiles
    from pipelines.sources.lpd5 import _read_midi_info

    path = Path(folder, "midi_info.json")
    path.write_bytes(blob)
    try:
        _read_midi_info(BeamFiles(), str(path))
    except ValueError:
        return "sentence"
    return "read"


def read_settings(blob: bytes, folder: str) -> str:
    from pipelines.config import load
    from pipelines.registry import SOURCES
    from schemas.settings import SettingsError
    from training.config import load as load_run

    path = Path(folder, "x.toml")
    path.write_bytes(blob)
    words = set()
    for read in (lambda: load(str(path), [], SOURCES), lambda: load_run(str(path))):
        try:
            read()
            words.add("read")
        except SettingsError:
            words.add("sentence")
    return " and ".join(sorted(words))


def read_checkpoint(blob: bytes, folder: str) -> str:
    from training.engine.checkpoint import load_run
    from training.errors import RunFailed

    path = Path(folder, "x.safetensors")
    path.write_bytes(blob)
    try:
        load_run(str(path))
    except RunFailed:
        return "sentence"
    return "read"


def read_cache(blob: bytes, folder: str, release: str, name: str) -> str:
    """`name` of a cache is replaced by what was spoilt: the cache is the one that it was."""
    from training.config import ViewConfig
    from training.data.cache import fault_of, open_split, prepare
    from training.data.release import open_release

    opened = open_release(release)
    place = prepare(opened, ViewConfig(), folder)
    whole = (place / name).read_bytes()
    (place / name).write_bytes(blob)
    found = prepare(opened, ViewConfig(), folder)
    split = open_split(found, "train")
    now = (found / name).read_bytes()
    # Of meta.json the same in other words is the same.
    same = now == whole or (name == "meta.json" and json.loads(now) == json.loads(whole))
    return (
        "as it was"
        if same and split.ids and not fault_of(found)
        else "ESCAPE another cache"
    )


def read_manifest(blob: bytes, release: str) -> str:
    from pipelines.verify import verify
    from schemas.reject import BuildFailed
    from schemas.settings import SettingsError
    from training.data.release import open_release
    from training.errors import RunFailed

    (Path(release) / "manifest.json").write_bytes(blob)
    words = set()
    for read in (lambda: verify(release), lambda: open_release(release)):
        try:
            words.add("problems" if isinstance(found := read(), list) and found else "read")
        except (SettingsError, RunFailed, BuildFailed):
            words.add("sentence")
    return " and ".join(sorted(words))


def some(folder: Path, pattern: str, most: int, number: int) -> list[bytes]:
    """A few files below a folder, not too large, spread over it."""
    paths = sorted(path for path in folder.rglob(pattern) if path.stat().st_size < most)
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // number)]][:number]


def kinds(data: Path, work: Path) -> dict[str, Kind]:
    """All that is spoilt, by name."""
    here = str(work / "here")
    Path(here).mkdir(exist_ok=True)
    abc = some(data / "nottingham" / "ABC_cleaned", "*.abc", 1 << 20, 8)
    tunes = [b"X:" + tune for book in abc for tune in book.split(b"\nX:")[1:30]]
    midi = some(data / "nottingham" / "MIDI", "*.mid", 1 << 20, 20)
    midi += some(data / "lmd_full", "*.mid", 60_000, 20)
    table = b"track_id,valence,energy\n" + b"".join(
        b"TRAAAAW128F42%05X,0.%d,0.7\n" % (n, n) for n in range(60)
    )
    matches = b"".join(b"%032x  TRAAAAW128F42%05X\n" % (n, n) for n in range(60))
    scores = json.dumps(
        {f"TRAAAAW128F42{n:05X}": {f"{n:032x}": 0.7} for n in range(40)}
    ).encode()
    info = json.dumps(
        {f"{n:032x}": {"constant_time_signature": "3/4", "tempo": 120} for n in range(40)}
    ).encode()
    names = b"md5\tartist\ttitle\n" + b"".join(
        b"%032x\tA\tB%d\n" % (n, n) for n in range(40)
    )
    tracks = b"".join(
        b"TRAAAAW128F42%05X<SEP>SOAAAAA12AB01%05X<SEP>A<SEP>B\n" % (n, n) for n in range(40)
    )
    toml = [path.read_bytes() for path in sorted((ROOT / "manifests").rglob("*.toml"))]
    return {
        "npz": Kind(50, some(data / "lpd_5" / "lpd_5_full", "*.npz", 60_000, 60), spoil_zip, read_npz),
        "abc": Kind(45, tunes, spoil_text, read_abc),
        "midi": Kind(25, midi, spoil, read_midi),
        "midi of models": Kind(12, midi, spoil, read_midi_for_models, (here,)),
        "hdf5": Kind(14, some(data / "msd", "*.h5", 400_000, 12), spoil, read_h5),
        "labels": Kind(12, [table], spoil_text, read_side_file, ("labels", "x.csv")),
        "matches": Kind(8, [matches], spoil_text, read_side_file, ("matches", "x.txt")),
        "scores": Kind(8, [scores], spoil_text, read_side_file, ("matches", "x.json")),
        "names": Kind(4, [names], spoil_text, read_side_file, ("names", "x.tsv")),
        "tracks": Kind(4, [tracks], spoil_text, read_side_file, ("tracks", "x.txt")),
        "midi_info": Kind(8, [info], spoil_text, read_midi_info, (here,)),
        "toml": Kind(12, toml, spoil_text, read_settings, (here,)),
    }  # fmt: skip


def kinds_of_training(work: Path) -> dict[str, Kind]:
    """What training writes and reads, and the manifest of its release."""
    release, run = small_run(work)
    here = str(work / "here")
    manifest = (release / "manifest.json").read_bytes()
    cache = sorted((work / "cache").iterdir())[0]
    token, songs = "train/tokens", "train/songs.npz"
    into = [(str(work / f"c{place}"), str(release)) for place in range(3)]
    return {
        "checkpoint": Kind(4, [(run / "last.safetensors").read_bytes()], spoil, read_checkpoint, (here,)),
        "cache meta": Kind(1, [(cache / "meta.json").read_bytes()], spoil_text, read_cache, (*into[0], "meta.json")),
        "cache tokens": Kind(1, [(cache / token).read_bytes()], spoil, read_cache, (*into[1], token)),
        "cache songs": Kind(1, [(cache / songs).read_bytes()], spoil, read_cache, (*into[2], songs)),
        "manifest": Kind(3, [manifest], spoil_text, read_manifest, (str(work / "spoilt"),)),
    }  # fmt: skip


def campaign(
    data: Path,
    work: Path,
    *,
    seed: int,
    number: int,
    only: Sequence[str] = (),
    training: bool = True,
) -> Counter[str]:
    """Spoil and read; how many escapes, deaths and hangs there were, by kind in words."""
    everything = kinds(data, work) | (kinds_of_training(work) if training else {})
    whole = sum(kind.share for kind in everything.values())
    box, faults = Sandbox(CPU_SECONDS), Counter[str]()
    total, slowest = 0, 0.0
    for name, kind in everything.items():
        if only and name not in only:
            continue
        chance, words = random.Random(f"{seed} {name}"), Counter[str]()
        begun = time.monotonic()
        for trial in range(max(1, number * kind.share // whole)):
            blob = kind.spoil(chance.choice(kind.examples), chance)
            before = time.monotonic()
            word = outcome(box, kind, blob)
            slowest = max(slowest, time.monotonic() - before)
            words[word] += 1
            if word.startswith(("ESCAPE", "DEATH", "HANG")):
                kept = work / f"fault-{name.replace(' ', '_')}-{seed}-{trial}"
                kept.write_bytes(blob)
                faults[word.split()[0]] += 1
        total += words.total()
        found = ", ".join(f"{count} {word}" for word, count in words.most_common(12))
        print(
            f"{name}: {words.total()} in {time.monotonic() - begun:.0f} s: {found}",
            flush=True,
        )
    box.close()
    print(
        f"{total} inputs, slowest {slowest:.1f} s: {dict(faults) or 'no escape, death or hang'}"
    )
    return faults


def outcome(box: Sandbox, kind: Kind, blob: bytes) -> str:
    """What came of one input."""
    try:
        word: str = box.call(kind.read, blob, *kind.more)
        return word
    except BadInput as bad:
        return f"{'HANG' if bad.reason == Reason.TIMEOUT else 'DEATH'} {bad.detail}"
    except Exception as error:
        return f"ESCAPE {type(error).__name__}: {str(error)[:100]}"


def main() -> int:
    """The campaign from the command line; 1 where there was a fault."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--number", type=int, default=20_000)
    arguments.add_argument("--only", nargs="+", default=[])
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    faults = campaign(
        given.data, given.work, seed=given.seed, number=given.number, only=given.only
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
