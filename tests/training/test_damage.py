"""What training reads, damaged: found, said in a sentence, made again where it can be."""

import hashlib
import http.server
import json
import shutil
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from training.config import ViewConfig, from_tables
from training.data.cache import fault_of, open_split, prepare, remove_leftovers
from training.data.midi import read_midi
from training.data.release import open_release
from training.engine import checkpoint
from training.engine.folder import locked
from training.engine.trainer import Trainer
from training.errors import RunFailed

VIEW = ViewConfig(tokens_per_bar=32)


@pytest.fixture(scope="module")
def whole(release, tmp_path_factory):
    """A cache that was just made."""
    return prepare(open_release(release), VIEW, str(tmp_path_factory.mktemp("cache")))


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_whole_cache_is_taken_as_it_is(whole, release, capsys):
    times = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert prepare(open_release(release), VIEW, str(whole.parent)) == whole
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == times
    assert capsys.readouterr().err == "" and fault_of(whole) == ""


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["train/tokens", "validation/songs.npz", "meta.json"])
@pytest.mark.parametrize("damage", [half, flipped, Path.unlink])
def test_a_damaged_cache_is_made_again_with_a_line(
    whole, release, tmp_path, capsys, name, damage
):
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    damage(folder / name)
    assert fault_of(folder)
    assert prepare(open_release(release), VIEW, str(tmp_path)) == folder
    assert "it is made again" in capsys.readouterr().err
    assert content(folder) == content(whole)


def test_what_killed_runs_left_is_removed(tmp_path):
    import os
    import socket

    host = socket.gethostname()
    dead, own = (
        tmp_path / f"abc.{host}-4194304.part",
        tmp_path / f"abc.{host}-{os.getpid()}.part",
    )
    elsewhere = tmp_path / "abc.elsewhere-4194304.part"
    for folder in (dead, own, elsewhere):
        (folder / "train").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert [dead.exists(), own.exists(), elsewhere.exists()] == [False, True, True]


@pytest.fixture(scope="module")
def run(release, tmp_path_factory):
    """A run of one step, with its checkpoint."""
    out = tmp_path_factory.mktemp("run")
    Trainer(config(), release, str(out), str(out / "cache")).run()
    return out


def config():
    tables = {
        "name": "t", "kind": "semg_gmvae",
        "model": {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4, "kl_warmup": 0},
        "data": {"bars": 3, "tokens_per_bar": 48},
        "train": {"steps": 1, "batch": 4, "validation_batches": 1, "threads": 1, "tensorboard": False},
    }  # fmt: skip
    return from_tables(tables)


def rewritten(run, tmp_path, change, sealed=True):
    """The checkpoint with its tensors and facts changed, and its hash made to fit."""
    with safe_open(run / "last.safetensors", "pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        facts = json.loads(stream.metadata()["facts"])
    change(tensors, facts)
    if sealed:
        facts.pop("sha256", None)
        facts["sha256"] = checkpoint.content_sha256(tensors, facts)
    path = tmp_path / "last.safetensors"
    save_file(tensors, path, {"facts": json.dumps(facts)})
    return path


def test_a_checkpoint_that_was_changed_is_refused(run, tmp_path):
    def weight(tensors, facts):
        tensors[min(name for name in tensors if name.startswith("model."))] += 1

    def fact(tensors, facts):
        facts["step"] += 1

    for change in (weight, fact):
        with pytest.raises(RunFailed, match="is damaged, it is not what was saved"):
            checkpoint.read(rewritten(run, tmp_path, change, sealed=False))


ODD = {
    "step": [None, -1, 1.5, "1", [], True, 1 << 70],
    "best": ["x", [], float("nan"), float("inf"), True],
    "loader": [
        None,
        [],
        {},
        {"step": 1},
        {"step": "1", "seed": 0},
        {"step": 1, "seed": None},
    ],
    "release": [None, 3],
    "config": [None, [], "x", {}, {"kind": 3}, {"kind": "semg_gmvae", "model": 3}],
}


@pytest.mark.parametrize("fact", ODD)
def test_odd_facts_are_a_sentence(run, tmp_path, fact):
    for value in ODD[fact]:
        path = rewritten(
            run, tmp_path, lambda tensors, facts, v=value: facts.update({fact: v})
        )
        with pytest.raises(RunFailed, match=f"its {fact} is not what it must be"):
            checkpoint.read(path)
    path = rewritten(run, tmp_path, lambda tensors, facts: facts.pop(fact))
    if fact != "best":
        with pytest.raises(RunFailed, match="is not what it must be"):
            checkpoint.read(path)


def test_facts_of_no_kind_and_settings_of_no_model(run, tmp_path):
    for text in ("[" * 100_000, "3", "[]", "{", "null"):
        path = tmp_path / "x.safetensors"
        save_file({"a": torch.zeros(1)}, path, {"facts": text, "format": checkpoint.FORMAT})
        with pytest.raises(RunFailed):
            checkpoint.read(path)
    for model in ({"heads": 3}, {"width": 0}, {"layers": "two"}):
        path = rewritten(
            run,
            tmp_path,
            lambda tensors, facts, m=model: facts["config"]["model"].update(m),
        )
        with pytest.raises(RunFailed):
            checkpoint.load_run(str(path))


def test_tensors_that_no_training_goes_on_from(run, release, tmp_path):
    def moment(tensors, facts):
        name = min(name for name in tensors if name.endswith("exp_avg"))
        tensors[name] = torch.zeros(3)

    def no_number(tensors, facts):
        tensors[min(name for name in tensors if name.startswith("model."))].fill_(torch.nan)

    def random_state(tensors, facts):
        tensors["random.cpu"] = torch.zeros(7, dtype=torch.uint8)

    def name(tensors, facts):
        tensors["optimiser.x.exp_avg"] = torch.zeros(1)

    for change in (moment, no_number, random_state, name):
        rewritten(run, tmp_path, change)
        with pytest.raises(RunFailed):
            Trainer(config(), release, str(tmp_path), str(run / "cache"))


def test_a_folder_in_which_a_training_runs_is_locked(tmp_path):
    with locked(str(tmp_path / "run")):
        with (
            pytest.raises(RunFailed, match="is being trained in by another process"),
            locked(str(tmp_path / "run")),
        ):
            pass
        with locked(str(tmp_path / "run"), leads=False):
            pass
    with locked(str(tmp_path / "run")):
        pass


@pytest.fixture
def edited(release, tmp_path):
    """Edits a column of the first training shard, and the manifest's hash with it."""

    def edit(change):
        folder = tmp_path / "release"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(release, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        shard = next(
            one for one in manifest["shards"] if one["split"] == "train" and one["rows"]
        )
        table = change(pq.read_table(folder / shard["path"]))
        pq.write_table(table, folder / shard["path"])
        shard["sha256"] = hashlib.sha256((folder / shard["path"]).read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return str(folder)

    return edit


def put(table, name, values):
    at = table.column_names.index(name)
    return table.set_column(
        at, table.schema.field(name), pa.array(values, table[name].type)
    )


def of_first(name, value):
    """The first value of the second song's list, or its value, is another."""

    def change(table):
        values = table[name].to_pylist()
        if isinstance(values[1], list):
            values[1][0] = value
        else:
            values[1] = value
        return put(table, name, values)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of_first("arousal_class", 7), r"row 1 \(.*\): arousal_class has 7, not from 0 to 1"),
        (of_first("note_pitch", 255), r"row 1 \(.*\): note_pitch has 255, not from 0 to 127"),
        (of_first("note_velocity", 0), "note_velocity has 0, not from 1 to 127"),
        (of_first("note_track", 9), "note_track has 9"),
        (of_first("remi", 2000), "remi has 2000, not from 0 to 922"),
        (of_first("key", 200), "key has 200, not from 0 to 24"),
        (of_first("tempo_bpm", float("nan")), "tempo_bpm has nan"),
        (of_first("label_rank", float("nan")), "label_rank has nan"),
        (of_first("remi_bar_offset", 5), "remi_bar_offset does not rise from 0"),
        (lambda t: put(t, "key", [k[1:] for k in t["key"].to_pylist()]), "key has .* values where bar_start asks for"),
        (lambda t: t.drop_columns(["rhythm_onsets"]), "has no column rhythm_onsets"),
        (lambda t: t.set_column(0, "song_id", pc.cast(pa.array(range(len(t))), pa.int32())), "has int32 in song_id, not string"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_column_and_row(edited, tmp_path, change, says):
    with pytest.raises(RunFailed, match=says):
        prepare(open_release(edited(change)), VIEW, str(tmp_path / "cache"))


def test_a_manifest_of_odd_kinds_is_a_sentence(release, tmp_path):
    manifest = json.loads(Path(release, "manifest.json").read_text())
    odd = [
        "[" * 100_000,
        "[]",
        "3",
        '{"shards": 3}',
        "\ud800".encode("utf-8", "surrogatepass"),
    ]
    odd += [
        json.dumps({**manifest, "shards": shards})
        for shards in (3, [3], [{}], [{**manifest["shards"][0], "path": 3}], {"a": 1})
    ]
    odd += [json.dumps({**manifest, "config": config}) for config in (3, {"remi": 3})]
    for text in odd:
        (tmp_path / "manifest.json").write_bytes(
            text if isinstance(text, bytes) else text.encode()
        )
        with pytest.raises(RunFailed):
            open_release(str(tmp_path))


def test_a_midi_without_ticks_to_the_quarter(tmp_path):
    path = tmp_path / "a.mid"
    path.write_bytes(
        b"MThd\0\0\0\6\0\1\0\1\0\0MTrk\0\0\0\x0c\0\x90\x3c\x40\x60\x80\x3c\x40\0\xff\x2f\0"
    )
    with pytest.raises(RunFailed, match="cannot be read as MIDI"):
        read_midi(str(path))


class Server(http.server.SimpleHTTPRequestHandler):
    """Files, but for shards, of which it answers what it is told to."""

    fault = ""

    def do_GET(self):
        if not (self.fault and self.path.endswith(".parquet")):
            return super().do_GET()
        if self.fault.isdecimal():
            return self.send_error(int(self.fault))
        if self.fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"PAR1")
        self.close_connection = True
        self.connection.close()
        return None

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(release):
    Server.fault = ""
    one = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=release)
    )
    one.handle_error = lambda *arguments: None
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_address[1]}"
    one.shutdown()
    one.server_close()
    thread.join()


def test_a_release_over_http_is_the_release(server, whole, tmp_path):
    folder = prepare(open_release(server), VIEW, str(tmp_path))
    assert content(folder) == content(whole)
    np.testing.assert_array_equal(
        open_split(folder, "train").key, open_split(whole, "train").key
    )


@pytest.mark.parametrize("fault", ["404", "500", "cut", "dies"])
def test_faults_of_a_server_are_a_sentence(server, tmp_path, fault):
    Server.fault = fault
    with pytest.raises(RunFailed, match=r"train-00000.* cannot be read") as refused:
        prepare(open_release(server), VIEW, str(tmp_path))
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_no_server_and_no_release_there(server):
    with pytest.raises(RunFailed, match="is not a release"):
        open_release(f"{server}/data")
    with pytest.raises(RunFailed, match="cannot be read"):
        open_release("http://127.0.0.1:9")
