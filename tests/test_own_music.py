"""A folder of MIDI of one's own with a table of labels, as a stranger would build it; and the
same folder once it has grown."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import symusic

from pipelines.cli import main

IN_PROCESS = ["--", "--runner=FnApiRunner"]
BUILD = """
name = "mine"
shards = 6
[sources.mine]
kind = "midi"
root = "{root}"
is_cut = true
license = "CC BY 4.0"
citation = "The Strangers: Their Songs, 2026."
[affect]
threshold = 0.5
[affect.own.us]
table = "{table}"
scale = [1.0, 9.0]
columns = {{valence = "v", arousal = "a"}}
license = "CC0"
citation = "The Strangers: What They Heard, 2026."
"""


def write_song(path: Path, seed: int) -> None:
    """A tune of sixteen bars of its own."""
    random = np.random.default_rng(seed)
    score = symusic.Score(480)
    track = symusic.Track("piano", 0, False)
    start = 0
    for pitch in random.integers(48, 84, 64).tolist():
        track.notes.append(symusic.Note(start, 240, pitch, int(random.integers(40, 100))))
        start += int(random.choice([240, 480, 720]))
    score.tracks.append(track)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    score.tempos.append(symusic.Tempo(0, 100 + seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    score.dump_midi(path)


def corpus(folder: Path, n_songs: int) -> str:
    """A build file over n songs and a table of their labels."""
    rows = ["file,v,a,group"]
    for number in range(n_songs):
        write_song(folder / "music" / f"set{number % 3}" / f"tune {number}.mid", number)
        group = "pair" if number in (3, 4) else ""
        rows.append(
            f"set{number % 3}/tune {number}.mid,{1 + number % 9},{9 - number % 9},{group}"
        )
    rows.append("nobody.mid,1,1,")
    (folder / "labels.csv").write_text("\n".join(rows))
    build = folder / "mine.toml"
    build.write_text(BUILD.format(root=folder / "music", table=folder / "labels.csv"))
    return str(build)


def hashes(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.usefixtures("no_drawings")
def test_a_folder_of_midi_becomes_a_release_and_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    build = corpus(tmp_path, 14)
    assert main(["build", build, "--out", str(out), *IN_PROCESS]) == 0
    assert main(["verify", str(out)]) == 0
    songs = ds.dataset(out / "release" / "data").to_table().to_pylist()
    assert len(songs) == 14
    for song in songs:
        number = int(song["title"].split()[1])
        assert song["valence"] == pytest.approx((number % 9) / 8)
        assert song["label_source"] == "us:own" and song["label_trust"] == 1
        assert song["is_cut"] and song["meter_source"] == "midi"
    assert len({song["group_id"] for song in songs}) == 13
    refused = pq.read_table(out / "metadata" / "own_refused.parquet").to_pylist()
    assert [row["why"] for row in refused] == ["no song of that name was read"]
    card = (out / "release" / "README.md").read_text()
    for words in ("CC BY 4.0", "CC0", "Their Songs", "What They Heard"):
        assert words in card
    assert "Developer Terms" not in card and "Lakh" not in card

    before = {path.name: path.stat().st_mtime_ns for path in (out / "songs").iterdir()}
    capsys.readouterr()
    corpus(tmp_path, 16)
    assert main(["build", build, "--out", str(out), *IN_PROCESS]) == 0
    says = capsys.readouterr().err
    assert "what there is to read (mine: 14 songs before, 16 now)" in says
    after = {path.name: path.stat().st_mtime_ns for path in (out / "songs").iterdir()}
    again = [name for name in after if after[name] != before[name]]
    assert 1 <= len(again) <= 2 and f"{len(again)} of 6 shards are read again" in says

    other = tmp_path / "anew"
    assert main(["build", build, "--out", str(other), *IN_PROCESS]) == 0
    assert hashes(out) == hashes(other)
    lock = json.loads((out / "ingest.lock.json").read_text())
    assert lock["read"] == {"mine": 16}
