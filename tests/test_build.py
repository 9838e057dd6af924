"""The main path, as a user runs it: same bytes whatever happens, nothing lost, and one
sentence where it cannot be."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from shutil import ignore_patterns

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.config import NOT_IN_SONGS, BuildConfig
from pipelines.formats.npz_write import write_npz
from pipelines.ingest import CODE, claim
from schemas import mock
from schemas.code import code_sha256
from schemas.manifest import Lock, to_json
from schemas.settings import SettingsError

ROOT = Path(__file__).resolve().parents[1]
IN_PROCESS = ["--", "--runner=FnApiRunner"]
TUNE = "X:{x}\nT:Tune {x}\nM:6/8\nL:1/8\nK:G\n|:G2G BAB|d2d G3|GAB A2A|BAG F2D|\nG2G BAB|d2d G3|GAB A2c|BGF G3:|\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora of made-up music: 90 npz in LPD's layout, 6 tunes of ABC."""
    root = tmp_path_factory.mktemp("corpus")
    for song in mock.songs(90, n_bars=16):
        path = root / "lpd" / song.source_key[-1] / f"{song.source_key}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            write_npz(
                song.notes, song.tempi, int(song.bars["start"][-1]) + 96, song.source_key
            )
        )
    (root / "abc").mkdir()
    (root / "abc" / "tunes.abc").write_text(
        "\n".join(
            TUNE.format(x=x).replace("d2d", "d2d" if x % 2 else "e2e") for x in range(6)
        )
    )
    return root


def settings(folder: Path, corpus: Path, extra: str = "") -> str:
    """A build file over the corpus."""
    path = folder / "build.toml"
    path.write_text(
        f'name = "test"\nshards = 12\nfile_megabytes = 0.05\n{extra}\n[sources.lpd5]\nroot = "{corpus}/lpd"\n'
        f'[sources.nottingham]\nroot = "{corpus}/abc"\n'
        "[filters.lpd5]\nmin_seconds = 10.0\nmin_notes = 100\n"
    )
    return str(path)


def run(*arguments: str) -> int:
    return main([*arguments])


def hashes(out: Path) -> dict[str, str]:
    """sha256 of every file of a build."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build that the others are compared with."""
    folder = tmp_path_factory.mktemp("built")
    assert (
        run("build", settings(folder, corpus), "--out", str(folder / "out"), *IN_PROCESS)
        == 0
    )
    return folder / "out"


def copy_of(built: Path, folder: Path) -> str:
    """The build once more, for a test that changes it."""
    shutil.copytree(built, folder / "out")
    return str(folder / "out")


def test_counts_add_up_and_the_release_is_sound(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = json.loads((built / "ingest.lock.json").read_text())
    assert lock["read"] == {"lpd5": 90, "nottingham": 6}
    assert lock["rejected"] == {"lpd5": 0, "nottingham": 0}
    manifest = json.loads((built / "release" / "manifest.json").read_text())
    fall = manifest["waterfall"]["all"]
    assert fall["in"] == 96
    assert sum(manifest["splits"].values()) == fall["kept"]
    # Three times one tune and three times a version of it with two other notes: one is
    # kept.
    assert manifest["waterfall"]["nottingham"]["failed"]["duplicate"] == 5
    left = [
        row
        for path in (built / "rejects").glob("curate-*")
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(left) == fall["in"] - fall["kept"]
    assert {row["stage"] for row in left} == {"curate"}
    assert run("verify", str(built)) == 0
    assert capsys.readouterr().out.strip().endswith("ok")
    assert run("describe", str(built), "--json") == 0
    assert json.loads(capsys.readouterr().out)["splits"] == manifest["splits"]


def test_no_output_says_where_or_when_it_was_made(built: Path, corpus: Path) -> None:
    for path in built.rglob("*"):
        if path.is_file():
            assert str(corpus).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(
    built: Path, corpus: Path, tmp_path: Path, workers: int
) -> None:
    assert (
        run(
            "build",
            settings(tmp_path, corpus),
            "--out",
            str(tmp_path / "out"),
            "--",
            f"--direct_num_workers={workers}",
        )
        == 0
    )
    assert hashes(tmp_path / "out") == hashes(built)


def test_the_portable_job_api_gives_the_same_bytes(
    built: Path, corpus: Path, tmp_path: Path
) -> None:
    flags = [
        "--",
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=LOOPBACK",
    ]
    assert (
        run("build", settings(tmp_path, corpus), "--out", str(tmp_path / "out"), *flags)
        == 0
    )
    assert hashes(tmp_path / "out") == hashes(built)


def test_a_second_run_reads_nothing_and_changes_nothing(
    built: Path, corpus: Path, tmp_path: Path
) -> None:
    before, times = (
        hashes(built),
        {path: path.stat().st_mtime_ns for path in (built / "songs").iterdir()},
    )
    assert run("build", settings(tmp_path, corpus), "--out", str(built), *IN_PROCESS) == 0
    assert hashes(built) == before
    assert {path: path.stat().st_mtime_ns for path in (built / "songs").iterdir()} == times


def test_killed_and_run_again_gives_the_same_bytes(
    built: Path, corpus: Path, tmp_path: Path
) -> None:
    out, songs = tmp_path / "out", tmp_path / "out" / "songs"
    arguments = [
        "build",
        settings(tmp_path, corpus),
        "--out",
        str(out),
        "--",
        "--direct_num_workers=1",
    ]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pipelines.cli import main; main(sys.argv[1:])",
            *arguments,
        ]
    )
    wait_for(lambda: sorted(songs.glob("*.parquet")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    done = sorted(songs.glob("*.parquet"))
    assert 0 < len(done) < 12, "the build was to be killed in the middle"
    times = {path: path.stat().st_mtime_ns for path in done}
    assert run(*arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == times
    assert hashes(out) == hashes(built)


def wait_for(look: Callable[[], list[Path]], seconds: float = 60) -> list[Path]:
    """What `look` finds once it finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.005)
    raise TimeoutError("nothing came")


def test_changed_code_reads_the_songs_again_and_says_why(
    built: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = copy_of(built, tmp_path)
    command = ["ingest", settings(tmp_path, corpus), "--out", out, *IN_PROCESS]
    edited = {**CODE, "sources": ("pipelines/sources/lpd5.py",)}
    monkeypatch.setattr("pipelines.ingest.CODE", edited)
    capsys.readouterr()
    assert run(*command) == 0
    said = capsys.readouterr().err
    assert "12 of 12 shards are read again, since the code of sources changed" in said
    assert run(*command) == 0
    assert "read again" not in capsys.readouterr().err
    for path in sorted(Path(out, "songs").iterdir()):
        assert pq.read_table(path).equals(pq.read_table(built / "songs" / path.name))


def test_a_re_reading_that_was_killed_says_its_reason_again(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    spec = {"shards": 3, "code": {"formats": "a", "sources": "a"}, "moodroll": "1"}
    assert claim(out, spec) == []
    lock = tmp_path / "out" / "ingest.lock.json"
    lock.write_text(to_json(Lock(spec, complete=True)))
    newer = {**spec, "code": {"formats": "a", "sources": "b"}}
    for _ in range(2):  # the second time as after a kill
        assert claim(out, newer) == ["the code of sources"]
        assert not json.loads(lock.read_text())["complete"]
    with pytest.raises(SettingsError, match="it differs in shards: choose another --out"):
        claim(out, {**newer, "shards": 4})


def test_an_edit_of_any_file_that_makes_songs_changes_the_code_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("schemas", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore_patterns("*.pyc"))
    monkeypatch.setattr("schemas.code.ROOT", tmp_path)
    before = {name: code_sha256(*patterns) for name, patterns in CODE.items()}
    for file, name in (
        ("pipelines/sources/nottingham.py", "sources"),
        ("pipelines/formats/abc_measures.py", "formats"),
        ("pipelines/features/key/hmm.py", "features"),
        ("pipelines/dedupe/shingles.py", "dedupe"),
        ("schemas/remi.py", "schemas"),
        ("pipelines/beam/reading.py", "writing"),
    ):
        with (tmp_path / file).open("a") as stream:
            stream.write("# one more line\n")
        assert code_sha256(*CODE[name]) != before[name], file
    shutil.copytree(ROOT / "schemas", tmp_path / "other" / "schemas")
    for path in (tmp_path / "other" / "schemas").glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr("schemas.code.ROOT", tmp_path / "other")
    assert code_sha256("schemas/*.py") == before["schemas"]


def test_every_setting_of_a_build_is_in_one_spec_or_named_as_in_none() -> None:
    config = BuildConfig("t", {}, sources={})
    named = {*config.ingest_spec(), *config.curate_spec(), *NOT_IN_SONGS}
    assert named == {field.name for field in fields(BuildConfig)}


def test_changed_filters_read_no_song_again(
    built: Path, corpus: Path, tmp_path: Path
) -> None:
    out = copy_of(built, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in Path(out, "songs").iterdir()}
    assert (
        run(
            "build",
            settings(tmp_path, corpus),
            "--out",
            out,
            "--set",
            "filters.lpd5.min_notes=180",
            *IN_PROCESS,
        )
        == 0
    )
    manifest = json.loads(Path(out, "release", "manifest.json").read_text())
    assert manifest["waterfall"]["lpd5"]["failed"]["too_few_notes"] > 0
    assert {path: path.stat().st_mtime_ns for path in Path(out, "songs").iterdir()} == times
    assert run("verify", out) == 0


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def with_member(archive: bytes, name: str, content: bytes) -> bytes:
    """An archive with one member put in or replaced."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as sound,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for member in sound.namelist():
            if member != name:
                made.writestr(member, sound.read(member))
        made.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def hostile(corpus: Path, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The corpus with bad files among the good, and the reason each is to be given."""
    root = tmp_path / "hostile"
    (root / "lpd").mkdir(parents=True)
    for path in (corpus / "lpd").iterdir():
        (root / "lpd" / path.name).symlink_to(path)
    sound = next((corpus / "lpd").rglob("*.npz")).read_bytes()
    bad = root / "lpd" / "bad"
    bad.mkdir()
    (bad / f"{'d' * 32}.npz").mkdir()
    (bad / f"{'e' * 32}.npz").write_bytes(b"")
    (bad / f"{'f' * 32}.npz").write_bytes(sound[: len(sound) // 2])
    (bad / f"{'9' * 32}.npz").write_bytes(b"<html>not here</html>")
    far = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        far, {"descr": "|b1", "fortran_order": False, "shape": (10**9,)}
    )
    for name, member, content in (
        ("1", "info.json", b"not JSON"),
        ("2", "tempo.npy", saved(np.full(2000, np.nan))),
        ("3", "tempo.npy", saved(np.array([{}], object))),
        ("4", "downbeat.npy", far.getvalue()),
        ("5", "bomb.npy", bytes(300 << 20)),
        ("7", "downbeat.npy", saved(np.ones(200_000, bool))),
        ("6", "pianoroll_2_csc_shape.npy", saved(np.array([10**9, 128]))),
    ):
        (bad / f"{'c' * 31}{name}.npz").write_bytes(with_member(sound, member, content))
    abc = root / "abc"
    abc.mkdir()
    (abc / "tunes.abc").write_bytes((corpus / "abc" / "tunes.abc").read_bytes())
    (abc / "noise.abc").write_bytes(b"X:1\nT:Noise\nM:4/4\nL:1/0\nK:C\nCCCC|\n")
    return (
        root,
        {
            f"lpd5:{'d' * 32}": "not_a_file",
            f"lpd5:{'e' * 32}": "empty_file",
            f"lpd5:{'f' * 32}": "truncated",
            f"lpd5:{'9' * 32}": "truncated",
            f"lpd5:{'c' * 31}1": "bad_info",
            f"lpd5:{'c' * 31}2": "bad_tempo",
            f"lpd5:{'c' * 31}3": "pickled",
            f"lpd5:{'c' * 31}4": "malformed",
            f"lpd5:{'c' * 31}5": "too_large",
            f"lpd5:{'c' * 31}6": "too_large",
            f"lpd5:{'c' * 31}7": "too_large",
            "nottingham:noise-1": "malformed",
        },
    )


def songs_of(out: Path) -> dict[str, dict[str, object]]:
    return {
        row["song_id"]: row
        for path in sorted((out / "songs").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


def test_bad_files_cost_one_reject_each(
    built: Path, hostile: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, reasons = hostile
    arguments = [
        "build",
        settings(tmp_path, root, "max_reject_share = 0.5"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(*arguments, *IN_PROCESS) == 0
    rejects = [
        row
        for path in (tmp_path / "out" / "rejects").glob("ingest-*")
        for row in pq.read_table(path).to_pylist()
    ]
    assert {row["song_id"]: row["reason"] for row in rejects} == reasons
    assert all(row["stage"] == "ingest" and row["detail"] for row in rejects)
    assert songs_of(tmp_path / "out") == songs_of(built)


def test_a_midi_cut_in_half_costs_one_reject(tmp_path: Path) -> None:
    import pretty_midi

    root = tmp_path / "tunes" / "MIDI"
    root.mkdir(parents=True)
    for index in range(3):
        midi = pretty_midi.PrettyMIDI()
        midi.instruments.append(pretty_midi.Instrument(0, name="melody"))
        midi.instruments[0].notes = [
            pretty_midi.Note(80, 60 + (index + step) % 12, step / 2, step / 2 + 0.5)
            for step in range(64)
        ]
        midi.write(str(root / f"jigs{index}.mid"))
    whole = (root / "jigs1.mid").read_bytes()
    (root / "jigs1.mid").write_bytes(whole[: len(whole) // 2])
    build = tmp_path / "build.toml"
    build.write_text(
        f'name = "t"\nshards = 2\nmax_reject_share = 0.5\n[sources.nottingham]\nroot = "{tmp_path}/tunes"\n'
    )
    assert run("build", str(build), "--out", str(tmp_path / "out"), *IN_PROCESS) == 0
    rejects = [
        row
        for path in (tmp_path / "out" / "rejects").glob("ingest-*")
        for row in pq.read_table(path).to_pylist()
    ]
    assert [(row["song_id"], row["reason"]) for row in rejects] == [
        ("nottingham:jigs1", "truncated")
    ]
    assert sorted(songs_of(tmp_path / "out")) == ["nottingham:jigs0", "nottingham:jigs2"]


def test_too_many_bad_files_fail_the_build(
    hostile: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("build", settings(tmp_path, hostile[0]), "--out", str(out), *IN_PROCESS) == 1
    assert "could not be read, max_reject_share is 5%" in capsys.readouterr().err
    assert not (out / "release").exists()


WRONG = {
    "unknown key": (
        ["--set", "filters.lpd5.min_secs=3"],
        r"unknown key filters\.lpd5\.min_secs: did you mean min_seconds\?",
    ),
    "unknown source": (
        ["--set", "sources.lpd.root=x"],
        r"unknown key sources\.lpd: did you mean lpd5\?",
    ),
    "wrong kind": (["--set", "shards=many"], r"shards must be int, not 'many'"),
    "missing root": (
        ["--set", "sources.lpd5.root=/nowhere"],
        r"no folder at '/nowhere': point sources\.lpd5\.root",
    ),
    "no song": (["--set", "sources.lpd5.root=EMPTY"], r"no lpd5 song below"),
    "bad shares": (["--set", "splits.train=0.9"], r"sum to 1"),
    "no n-gram": (
        ["--set", "shingles.line_intervals=0"],
        r"line_intervals must be at least 1",
    ),
    "no time": (["--set", "limits.read_seconds=0"], r"read_seconds must be over 0"),
    "more than a song holds": (
        ["--set", "limits.max_ticks=100000000"],
        r"max_ticks must be at most 8388608",
    ),
    "bad key method": (["--set", "key.method=ear"], r"key"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_are_one_sentence_and_nothing_is_written(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    flags, says = WRONG[case]
    (tmp_path / "empty").mkdir()
    flags = [flag.replace("EMPTY", str(tmp_path / "empty")) for flag in flags]
    assert (
        run(
            "build",
            settings(tmp_path, corpus),
            "--out",
            str(tmp_path / "out"),
            *flags,
            *IN_PROCESS,
        )
        == 2
    )
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1 and re.search(says, error), error
    assert not (tmp_path / "out").exists()


def test_an_unwritable_or_taken_out_folder_is_refused(
    built: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = settings(tmp_path, corpus)
    (tmp_path / "file").write_text("here")
    assert run("build", build, "--out", str(tmp_path / "file" / "out"), *IN_PROCESS) == 2
    assert "cannot write to" in capsys.readouterr().err
    before = hashes(built)
    assert run("build", build, "--out", str(built), "--set", "shards=7", *IN_PROCESS) == 2
    assert "holds another build, it differs in shards" in capsys.readouterr().err
    assert hashes(built) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert run("build", build, "--out", str(tmp_path / "mine"), *IN_PROCESS) == 2
    assert "is not empty and holds no build" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"spec": 3, "pins": []}'])
def test_a_spoilt_lock_is_one_sentence(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ingest.lock.json").write_text(text)
    for command in ("ingest", "curate"):
        assert (
            run(
                command,
                settings(tmp_path, corpus),
                "--out",
                str(tmp_path / "out"),
                *IN_PROCESS,
            )
            == 2
        )
        assert "ingest.lock.json is spoilt" in capsys.readouterr().err


def test_publish_takes_no_other_settings_than_the_catalog_s(
    built: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(built)
    other = ["--set", "filters.lpd5.min_notes=7", "--set", "seed=3"]
    assert (
        run("publish", settings(tmp_path, corpus), "--out", str(built), *other, *IN_PROCESS)
        == 2
    )
    assert (
        "was made with another filters, seed: run moodroll-data curate first"
        in capsys.readouterr().err
    )
    assert hashes(built) == before


def test_every_song_reads_back_from_its_row(built: Path) -> None:
    from schemas.row import from_row, rows_of

    originals = {song.source_key: song for song in mock.songs(90, n_bars=16)}
    for path in sorted((built / "songs").glob("*.parquet")):
        for row in rows_of(pq.read_table(path)):
            song = from_row(row)
            assert song.song_id == row["song_id"]
            assert len(song.bars) == row["n_bars"]
            if row["source"] == "lpd5":
                assert set(np.unique(song.notes["track"])) <= set(
                    np.unique(originals[song.source_key].notes["track"])
                )
