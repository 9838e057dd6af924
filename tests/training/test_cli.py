"""Every command through its door: what it writes, what it says of wrong input, and its exit
code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import mock
from schemas.midi import write_midi
from schemas.song import DRUMS
from training.cli import main
from training.config import from_tables, load
from training.data.midi import read_midi
from training.engine.trainer import Trainer


@pytest.fixture(scope="module")
def run(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tables = {
        "name": "cli", "kind": "semg_gmvae",
        "model": {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4, "kl_warmup": 0},
        "data": {"bars": 3, "tokens_per_bar": 48},
        "train": {"steps": 2, "batch": 4, "log_every": 1, "validate_every": 2, "validation_batches": 1, "threads": 1,
                  "tensorboard": False},
    }  # fmt: skip
    Trainer(from_tables(tables), release, str(folder), str(folder / "cache")).run()
    return str(folder)


@pytest.fixture
def midi(tmp_path):
    for index, song in enumerate(mock.songs(2, seed=8, n_bars=6)):
        write_midi(song, str(tmp_path / f"{index}.mid"))
    return [str(tmp_path / f"{index}.mid") for index in range(2)]


def fails(capsys, code, says, *argv):
    assert main(list(argv)) == code
    printed = capsys.readouterr().err.strip()
    assert says in printed and "\n" not in printed, printed


def test_sample_transfer_swap_and_reconstruct_write_midi(
    run, release, midi, tmp_path, capsys
):
    commands = {
        "sample": (["sample", run, "--emotion", "sad", "--n", "2"], 2),
        "one axis": (["sample", run, "--arousal", "1", "--bars", "2"], 1),
        "transfer": (
            ["transfer", run, midi[0], "--emotion", "calm", "--strength", "0.5"],
            1,
        ),
        "transfer of a song": (
            [
                "transfer",
                run,
                mock.songs(20)[17].song_id,
                "--data",
                release,
                "--valence",
                "0",
            ],
            1,
        ),
        "swap": (["swap", run, *midi, "--part", "key"], 2),
        "reconstruct": (
            ["reconstruct", run, midi[1], "--start", "2", "--temperature", "0"],
            1,
        ),
    }
    for name, (command, count) in commands.items():
        assert main([*command, "--out", str(tmp_path / name)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == count
        # What was read stands beside what was written of it, and a page plays both.
        n_read = {"swap": 2}.get(name, command[0] != "sample")
        assert len(list((tmp_path / name).glob("*.mid"))) == count + n_read
        # (A piece of an untrained model may have no notes, and is not shown.)
        page = (tmp_path / name / "index.html").read_text()
        assert n_read <= page.count("<figure>") <= count + n_read
        assert ("<h2>source</h2>" in page) == (n_read == 1)


def test_evaluate_reports_everything(run, release, tmp_path, capsys):
    sets = [x for one in ("pieces=1", "pairs=1", "probe_steps=5") for x in ("--set", one)]
    assert (
        main(
            [
                "evaluate",
                run,
                "--data",
                release,
                "--out",
                str(tmp_path),
                "--cache",
                str(tmp_path / "c"),
                *sets,
            ]
        )
        == 0
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(capsys.readouterr().out)
    assert set(report) == {
        "run",
        "tokens",
        "features",
        "classes",
        "latent",
        "leakage",
        "writing",
        "emotion",
    }
    assert set(report["tokens"]["by_type"]) == {
        "bar",
        "beat",
        "tempo",
        "pitch",
        "velocity",
        "duration",
    }
    assert report["classes"]["arousal"]["n"] == 4 and report["run"]["same_release"] is True
    assert {path.name for path in tmp_path.glob("*.png")} >= {
        "latent.png",
        "curves.png",
        "reconstruction.png",
        "exchange_z_r.png",
    }
    assert len(list((tmp_path / "midi").glob("*.mid"))) == 4


def test_wrong_usage_is_2_and_wrong_data_1(run, release, midi, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    (tmp_path / "bad.toml").write_text(
        'name = "x"\nkind = "semg_gmvae"\n[train]\nstep = 3\n'
    )
    fails(
        capsys,
        2,
        "unknown key train.step",
        "train",
        str(tmp_path / "bad.toml"),
        "--data",
        release,
        *out,
    )
    fails(
        capsys,
        2,
        "cannot read",
        "train",
        str(tmp_path / "none.toml"),
        "--data",
        release,
        *out,
    )
    fails(capsys, 2, "say which emotion", "sample", run, *out)
    fails(capsys, 2, "not both", "sample", run, "--emotion", "sad", "--arousal", "1", *out)
    fails(
        capsys,
        2,
        "temperature must be",
        "sample",
        run,
        "--emotion",
        "sad",
        "--temperature",
        "-1",
        *out,
    )
    fails(
        capsys,
        2,
        "unknown key songz",
        "evaluate",
        run,
        "--data",
        release,
        "--set",
        "songz=1",
        *out,
    )
    fails(
        capsys,
        2,
        "split must be",
        "evaluate",
        run,
        "--data",
        release,
        "--set",
        "split=best",
        *out,
    )
    fails(
        capsys,
        2,
        "top_p over 0",
        "evaluate",
        run,
        "--data",
        release,
        "--set",
        "top_p=0.0",
        *out,
    )
    (tmp_path / "file").write_text("")
    fails(
        capsys,
        1,
        "File exists",
        "sample",
        run,
        "--emotion",
        "sad",
        "--out",
        str(tmp_path / "file"),
    )
    fails(
        capsys,
        1,
        "train first",
        "sample",
        str(tmp_path / "nothing"),
        "--emotion",
        "sad",
        *out,
    )
    fails(capsys, 1, "is not a release", "evaluate", run, "--data", str(tmp_path), *out)
    fails(capsys, 1, "is no file", "transfer", run, "lpd5:0", "--emotion", "sad", *out)
    fails(
        capsys,
        1,
        "neither a file nor a song_id",
        "transfer",
        run,
        "lpd5:0",
        "--data",
        release,
        "--emotion",
        "sad",
        *out,
    )
    fails(capsys, 1, "from bar 90", "reconstruct", run, midi[0], "--start", "90", *out)
    (tmp_path / "no.mid").write_bytes(b"MThd")
    fails(
        capsys,
        1,
        "cannot be read as MIDI",
        "reconstruct",
        run,
        str(tmp_path / "no.mid"),
        *out,
    )
    with pytest.raises(SystemExit) as caught:
        main(["sample"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["sample", run, "--emotion", "sad", "--device", "gpu", *out])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "command", ["train", "sample", "transfer", "swap", "reconstruct", "evaluate"]
)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0 and "Example: moodroll-model" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_no_torch(argument):
    program = f"""
import sys
from training.cli import main
try:
    main(["{argument}"])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"


def test_an_ability_is_named_where_docstrings_are_stripped():
    program = """
from training.errors import RunFailed
from training.protocols import ABILITIES, require
for ability, says in ABILITIES.items():
    try:
        require(object(), ability)
    except RunFailed as error:
        print(f"cannot {says}:" in str(error) and "None" not in str(error))
"""
    command = [sys.executable, "-OO", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 7


RUNS = sorted((Path(__file__).resolve().parents[2] / "manifests" / "runs").glob("*.toml"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_run_file_reads_and_says_its_command_time_and_result(path):
    config, text = load(str(path)), path.read_text("utf-8")
    assert config.name == path.stem
    assert (
        f"moodroll-model train manifests/runs/{path.name}" in text
        and "Time: " in text
        and "Expected result: " in text
    )


def test_pieces_have_the_key_that_is_asked_for_and_say_where_they_are_from(
    release, tmp_path, capsys
):
    tables = {
        "name": "tonic", "kind": "semg_gmvae",
        "model": {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4, "kl_warmup": 0},
        "data": {"bars": 3, "tokens_per_bar": 48, "pitch": "tonic"},
        "train": {"steps": 1, "batch": 4, "validate_every": 1, "validation_batches": 1, "threads": 1, "tensorboard": False},
    }  # fmt: skip
    made = str(tmp_path / "tonic")
    Trainer(from_tables(tables), release, made, str(tmp_path / "cache")).run()
    sample = ["sample", made, "--emotion", "sad", "--strength", "2", "--temperature", "0"]
    pitches = {}
    for key in ("C", "D"):
        out = tmp_path / key
        assert main([*sample, "--key", key, "--out", str(out)]) == 0
        notes = read_midi(str(out / "sad-0-000.mid")).notes
        pitches[key] = notes["pitch"][notes["track"] != DRUMS].astype(int)
        told = json.loads((out / "pieces.json").read_text())["sad-0-000.mid"]
        assert told["run"] == "tonic" and told["strength"] == 2 and told["step"] == 1
    # An untrained model also writes the highest pitches, which come in at the lower end.
    assert sorted(pitches["D"]) == sorted((pitches["C"] - 21 + 2) % 88 + 21)
    song = str(tmp_path / "C" / "sad-0-000.mid")
    assert main(["reconstruct", made, song, "--out", str(tmp_path / "C")]) == 0
    assert len(json.loads((tmp_path / "C" / "pieces.json").read_text())) == 2
    capsys.readouterr()


def test_a_key_or_a_strength_that_a_run_has_no_handle_for_is_refused(
    run, release, tmp_path, capsys
):
    words = ["sample", run, "--emotion", "sad", "--out", str(tmp_path)]
    fails(capsys, 2, "train with data.pitch = tonic", *words, "--key", "D")
    fails(capsys, 2, "must be 0 or more", *words, "--strength", "-1")
    tables = {
        "name": "bare", "kind": "musemorphose",
        "model": {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4},
        "data": {"bars": 3, "tokens_per_bar": 48},
        "train": {"steps": 1, "batch": 4, "validate_every": 1, "validation_batches": 1, "threads": 1, "tensorboard": False},
    }  # fmt: skip
    made = str(tmp_path / "bare")
    Trainer(from_tables(tables), release, made, str(tmp_path / "cache")).run()
    words[1] = made
    fails(
        capsys,
        1,
        "cannot write an emotion more or less strongly",
        *words,
        "--strength",
        "2",
    )
