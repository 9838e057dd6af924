"""The loader against the slow simple way, its exact resumption, and releases it must
refuse."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schemas.remi import BAR_TOKEN, EOS, PAD, RemiConfig
from training.config import DataConfig
from training.data.cache import open_split, prepare
from training.data.loader import Loader, crops, used_labels
from training.data.release import open_release
from training.data.views import view_row
from training.errors import RunFailed

from ..conftest import mock_rows, write_release

DATA = DataConfig(bars=3, tokens_per_bar=48)


@pytest.fixture(scope="module")
def split(release, tmp_path_factory):
    return open_split(
        prepare(open_release(release), DATA, str(tmp_path_factory.mktemp("cache"))), "train"
    )


def test_a_batch_is_what_the_rows_say(split):
    rows = mock_rows()["train"]
    loader = Loader(split, DATA, 4, seed=5)
    for step in range(4):
        batch = loader.batch_at(step)
        for index, (song, start) in enumerate(zip(batch.song, batch.start, strict=True)):
            view = view_row(rows[song], DATA, RemiConfig())
            assert split.ids[song] == rows[song]["song_id"]
            for bar in range(3):
                at = start + bar
                tokens = view.tokens[view.bar_offset[at] : view.bar_offset[at + 1]].tolist()
                last = EOS if at == len(view.key) - 1 else BAR_TOKEN
                assert batch.tokens[index, bar].tolist() == tokens + [PAD] * (
                    48 - len(tokens)
                )
                assert batch.target[index, bar].tolist() == tokens[1:] + [last] + [PAD] * (
                    48 - len(tokens)
                )
                np.testing.assert_array_equal(batch.rhythm[index, bar], view.rhythm[at])
                assert batch.key[index, bar] == view.key[at]
            assert batch.label[index].tolist() == [
                rows[song]["arousal_class"],
                rows[song]["valence_class"],
            ]


def test_a_song_that_is_cut_out_of_another_has_no_end(tmp_path):
    rows = mock_rows()
    rows["train"] = [
        row | {"is_cut": index % 2 == 0} for index, row in enumerate(rows["train"])
    ]
    folder = prepare(open_release(write_release(tmp_path / "cut", rows)), DATA)
    split = open_split(folder, "train")
    song = np.arange(len(split.ids))
    last = crops(split, song, split.n_bars - 3, 3, 48, split.labels)
    ends = (last.target == EOS).any((1, 2))
    assert 0 < split.is_cut.sum() < len(song)
    # A bar of 48 tokens hides what follows it
    fits = (last.target[:, -1] != PAD).sum(1) < 48
    assert np.array_equal(ends[fits], ~split.is_cut[fits]) and not ends[split.is_cut].any()


def test_an_epoch_takes_every_song_once_and_differs_from_the_next(split):
    loader = Loader(split, DATA, 4, seed=0)
    seen = [
        tuple(
            np.concatenate([loader.batch_at(step).song for step in range(first, first + 3)])
        )
        for first in (0, 3)
    ]
    assert all(sorted(one) == list(range(12)) for one in seen) and seen[0] != seen[1]
    assert not np.array_equal(
        Loader(split, DATA, 4, seed=1).batch_at(0).song, loader.batch_at(0).song
    )


def test_ranks_share_a_batch_and_threads_change_nothing(split):
    whole = Loader(split, DATA, 4, seed=0)
    parts = [Loader(split, DATA, 4, 0, rank, 2).batch_at(2) for rank in range(2)]
    np.testing.assert_array_equal(
        np.stack([part.song for part in parts], 1).ravel(), whole.batch_at(2).song
    )
    many = iter(Loader(split, DataConfig(bars=3, tokens_per_bar=48, threads=4), 4, seed=0))
    for step in range(5):
        np.testing.assert_array_equal(next(many).tokens, whole.batch_at(step).tokens)


def test_state_goes_on_at_the_very_batch(split):
    loader = Loader(split, DATA, 4, seed=0)
    batches = iter(loader)
    for _ in range(5):
        next(batches)
    again = Loader(split, DATA, 4, seed=0)
    again.load_state_dict(loader.state_dict())
    np.testing.assert_array_equal(next(iter(again)).tokens, next(batches).tokens)
    with pytest.raises(RunFailed, match="seed 0"):
        Loader(split, DATA, 4, seed=1).load_state_dict(loader.state_dict())


KILLED = """
import hashlib, sys
from training.config import DataConfig
from training.data.loader import Loader
from training.data.cache import open_split, prepare
from training.data.release import open_release
data = DataConfig(bars=3, tokens_per_bar=48)
loader = Loader(open_split(prepare(open_release(sys.argv[1]), data, sys.argv[2]), "train"), data, 4, seed=9)
loader.load_state_dict({"step": int(sys.argv[3]), "seed": 9})
for batch in loader:
    print(loader.step, hashlib.sha256(batch.tokens.tobytes() + batch.label.tobytes()).hexdigest(), flush=True)
"""


def test_a_killed_loader_goes_on_exactly(release, tmp_path):
    def lines(start, count):
        root = str(Path(__file__).resolve().parents[3])
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, release, str(tmp_path), str(start)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        assert process.stdout is not None
        read = [process.stdout.readline() for _ in range(count)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        return read

    whole = lines(0, 9)
    first = lines(0, 4)
    assert first + lines(int(first[-1].split()[0]), 5) == whole


def test_supervision_uses_the_lowest_ranks_and_is_nested(split):
    usable = np.ones(12, bool)
    counts = []
    for share in (1.0, 0.5, 0.25, 0.0):
        used = (used_labels(split, usable, share) >= 0).all(axis=1)
        assert used.sum() == round(share * 12) and used[: used.sum()].all()
        counts.append(used)
    assert all((fewer <= more).all() for more, fewer in itertools.pairwise(counts))


def test_labelled_share_mixes(tmp_path):
    url = write_release(tmp_path / "release", mock_rows(lambda index: index < 3))
    split = open_split(prepare(open_release(url), DATA), "train")
    loader = Loader(
        split, DataConfig(bars=3, tokens_per_bar=48, labelled_share=0.5), 4, seed=0
    )
    assert loader.n_labelled == 3
    for step in range(6):
        assert (loader.batch_at(step).label[:, 0] >= 0).tolist() == [
            True,
            True,
            False,
            False,
        ]
    assert (tmp_path / "release.cache").is_dir()


def test_songs_for_judges_are_left_out(tmp_path):
    rows = mock_rows()
    for row in rows["train"][:5]:
        row["judge"] = True
    split = open_split(
        prepare(open_release(write_release(tmp_path / "r", rows)), DATA), "train"
    )
    loader = Loader(split, DATA, 4, seed=0)
    assert loader.left_out == {"too_short": 0, "for_judges": 5}
    assert min(loader.batch_at(step).song.min() for step in range(8)) >= 5


def test_a_url_reads_as_a_folder_does(release, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(release, "/mock-release", recursive=True)
    here, there = (
        prepare(open_release(url), DATA, str(tmp_path / name))
        for url, name in ((release, "a"), ("memory://mock-release", "b"))
    )
    assert here.name == there.name
    for file in filter(Path.is_file, here.rglob("*")):
        assert file.read_bytes() == (there / file.relative_to(here)).read_bytes()


def refuse(url, match, data=DATA, cache=None, **loader):
    with pytest.raises(RunFailed, match=match) as caught:
        Loader(
            open_split(prepare(open_release(url), data, cache), "train"),
            data,
            4,
            0,
            **loader,
        )
    assert "\n" not in str(caught.value)


def bare_manifest(release):
    """A manifest that lists no shards."""
    facts = json.loads((Path(release) / "manifest.json").read_text())
    return json.dumps({name: value for name, value in facts.items() if name != "shards"})


def test_bad_releases_are_refused_in_a_sentence(release, tmp_path):
    refuse(str(tmp_path), "is not a release")
    refuse(
        write_release(tmp_path / "schema", mock_rows(), schema_version=99),
        "schema version 99",
    )
    refuse(
        write_release(tmp_path / "words", mock_rows(), vocabulary_sha256="0"),
        "another token vocabulary",
    )
    shutil.copytree(release, tmp_path / "flipped")
    shard = tmp_path / "flipped" / "data" / "train-00000-of-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refuse(str(tmp_path / "flipped"), "sha256 differs")
    assert not list((tmp_path / "flipped.cache").glob("*")), (
        "a failed conversion left something behind"
    )
    shard.unlink()
    refuse(str(tmp_path / "flipped"), "cannot be read")
    broken = tmp_path / "broken"
    broken.mkdir()
    for content, says in (
        ("{", "cannot be read"),
        ("[]", "not a release's"),
        (bare_manifest(release), "not a release's"),
    ):
        (broken / "manifest.json").write_text(content)
        refuse(str(broken), says)


def test_settings_that_no_song_meets_are_refused(release, tmp_path):
    refuse(release, "longest has", DataConfig(bars=500, tokens_per_bar=48), str(tmp_path))
    refuse(write_release(tmp_path / "bare", mock_rows(lambda index: False)), "has a label")
    refuse(release, "does not divide", DATA, str(tmp_path), ranks=3)


def test_the_cache_is_made_once_and_is_another_for_other_settings(release, tmp_path):
    opened = open_release(release)
    first = prepare(opened, DATA, str(tmp_path))
    stamp = (first / "meta.json").stat().st_mtime_ns
    assert (
        prepare(opened, DATA, str(tmp_path)) == first
        and (first / "meta.json").stat().st_mtime_ns == stamp
    )
    assert prepare(opened, DataConfig(bars=3, tokens_per_bar=49), str(tmp_path)) != first
    assert prepare(opened, DataConfig(bars=5, tokens_per_bar=48), str(tmp_path)) == first
    meta = json.loads((first / "meta.json").read_text())
    assert (
        meta["splits"]["train"]["bars_over"] > 0 and meta["splits"]["train"]["songs"] == 12
    )
