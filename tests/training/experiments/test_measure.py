"""What experiments measure of a cell, with models and judges that one can see through;
and the bench they stand on."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from schemas import mock
from schemas.labels import QUADRANTS
from training.config import AXES, DataConfig, from_tables
from training.data.cache import open_split, prepare
from training.data.release import open_release
from training.errors import RunFailed
from training.evaluation.classifiers import JudgesConfig
from training.evaluation.realism import TrainingBars
from training.experiments import measure as measuring
from training.experiments.plan import Cell, Plan, Recipe
from training.experiments.store import Request, Store
from training.generation import writing

from ..conftest import mock_rows, write_release

DATA = DataConfig(bars=3, tokens_per_bar=48)
CELL = Cell("fake", 7, "fake-seed7", SimpleNamespace())
LEVELS = {"arousal": 0, "valence": 1}


class Ear:
    """A judge that hears what a song's key says: of A1V0 high arousal and low valence."""

    name = "ear"

    def probability(self, songs):
        return np.array(
            [
                [
                    0.9 if "A1" in song.source_key else 0.2,
                    0.8 if "V1" in song.source_key else 0.4,
                ]
                for song in songs
            ]
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The made-up release, its test songs one of each quadrant, as models read it."""
    place = tmp_path_factory.mktemp("measured")
    rows = mock_rows()
    for index, row in enumerate(rows["test"]):
        row |= {"arousal_class": index // 2 % 2, "valence_class": index % 2}
    for index, row in enumerate(rows["train"]):
        row |= {"judge": index < 6}
    return prepare(
        open_release(write_release(place / "release", rows)), DATA, str(place / "cache")
    )


def bench_of(folder, model, **plan):
    recipes = {
        "recipes": {},
        "judge": Recipe("judge.toml"),
        "judging": JudgesConfig(pieces=2, windows=2),
        "songs": 4,
    }
    return SimpleNamespace(
        plan=Plan(**recipes | plan), judge_data=DATA, judges=[Ear()], request=SimpleNamespace(device="cpu"),
        model=lambda cell: writing.Writer(model, DATA), split=lambda name, data: open_split(folder, name),
        training_bars=TrainingBars(open_split(folder, "train")), features_of=lambda levels: np.zeros((2, 29)) + sum(levels),
    )  # fmt: skip


class Writer:
    """Writes songs whose key says the classes that were asked for."""

    def __init__(self):
        self.asked = []

    def generate(self, classes, n, bars, sampling):
        self.asked.append((dict(classes), n, bars, sampling.seed, sampling.temperature))
        key = "".join(f"{axis[0].upper()}{classes[axis]}" for axis in AXES)
        return [replace(song, source_key=key) for song in mock.songs(n, n_bars=bars)]


def test_pieces_are_asked_for_and_heard_class_by_class_with_the_cells_seed(folder):
    writer = Writer()
    found = measuring.judged(bench_of(folder, writer), replace(CELL, config=None))
    assert writer.asked == [
        (dict(zip(AXES, levels, strict=True)), 2, 3, 7, 1.2) for levels in QUADRANTS
    ]
    assert found["wanted"] == [list(levels) for levels in QUADRANTS for _ in range(2)]
    assert found["chance"]["ear"] == [
        [(0.2, 0.9)[a], (0.4, 0.8)[v]] for a, v in found["wanted"]
    ]
    assert set(found["distance_to_real"]) == set(QUADRANTS.values()) and found["n"] > 0
    json.dumps(found)


class Code:
    """Latents are the song's own numbers: z_r the sum of a bar's tokens, z_k a hundred
    more; it writes what it is given."""

    def __init__(self):
        means = {
            "arousal": torch.tensor([[0.0], [10.0]]),
            "valence": torch.tensor([[0.0], [1000.0]]),
        }
        self.mixtures = {
            axis: SimpleNamespace(means=mean, log_variance=torch.tensor(2.0))
            for axis, mean in means.items()
        }

    def encode(self, tokens):
        own = tokens.clamp(max=922).float().sum(-1, keepdim=True)
        return {
            "arousal": (own, torch.zeros_like(own)),
            "valence": (own + 100, torch.zeros_like(own)),
        }

    def odds(self, tokens):
        return {axis: tokens[..., 0].float() for axis in AXES}

    def write(self, z, sampling):
        return list(z)


def test_exchanged_songs_have_one_latent_of_the_other(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(measuring, "songs_of", lambda tokens, *_: list(tokens))
    monkeypatch.setattr(measuring, "similarities", lambda *given: seen.append(given) or {})
    found = measuring.swapped(bench_of(folder, Code()), CELL)
    assert list(found) == ["z_r", "z_k", "pairs"] and found["pairs"] == 2
    for (changed, a, b, bars), given in zip(seen, ("arousal", "valence"), strict=True):
        assert bars == 3 and len(changed) == len(a) == len(b) == 2
        for z, own, other in zip(changed, a, b, strict=True):
            sums = {
                name: torch.from_numpy(song.astype(np.float32)).clamp(max=922).sum(-1)
                for name, song in (("a", own), ("b", other))
            }
            rhythm, key = (
                (sums["b"], sums["a"]) if given == "arousal" else (sums["a"], sums["b"])
            )
            assert torch.equal(z[:, 0], rhythm) and torch.equal(z[:, 1], key + 100)


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_songs_are_turned_from_their_own_class_and_told_apart(
    folder, monkeypatch, strength
):
    code, moves = Code(), []
    monkeypatch.setattr(measuring, "songs_of", lambda tokens, *_: list(tokens))
    monkeypatch.setattr(measuring, "_kept", lambda *given: {})
    monkeypatch.setattr(
        measuring, "song_latents", lambda model, tokens: torch.zeros(*tokens.shape[:2], 2)
    )

    class Place:
        """Hears where z was moved to: high arousal over 0, high valence over 0; songs as
        they were as A1V0."""

        name = "place"

        def probability(self, songs):
            if isinstance(songs[0], np.ndarray):
                return np.tile([0.9, 0.1], (len(songs), 1))
            moves.append(songs[0][0].tolist())
            return np.stack([(song[0] > 0).float().numpy() for song in songs])

    store = bench_of(folder, code, strength=strength)
    store.judges = [Place()]
    found = measuring.turned(store, CELL)
    assert found["n"] == dict.fromkeys(QUADRANTS.values(), 1)
    wanted = [
        [(t[0] - s[0]) * 10 * strength, (t[1] - s[1]) * 1000 * strength]
        for s in QUADRANTS
        for t in QUADRANTS
    ]
    assert moves == wanted
    assert found["turned"]["place"]["sad"]["happy"] == {
        "happy": 1,
        "tense": 0,
        "sad": 0,
        "calm": 0,
    }
    assert (
        found["turned"]["place"]["happy"]["happy"]["sad"] == 1
    )  # not moved, so heard as low
    assert found["untouched"]["place"]["calm"] == {
        "happy": 0,
        "tense": 1,
        "sad": 0,
        "calm": 0,
    }


def test_latents_stand_beside_the_labels_of_their_own_axis(folder):
    found = measuring.latents(bench_of(folder, Code()), CELL)
    split = open_split(folder, "test")
    for index, axis in enumerate(AXES):
        assert found[axis]["label"] == split.labels[:, index].tolist() and len(
            found[axis]["points"]
        ) == len(split.ids)
        assert found[axis]["sigma"] == pytest.approx(np.e) and np.array(
            found[axis]["components"]
        ).shape == (2, 1)
    apart = np.array(found["valence"]["points"]) - np.array(found["arousal"]["points"])
    assert apart == pytest.approx(100, abs=0.01)


def test_excerpts_are_drawn_with_the_seed_from_the_judged_split(folder):
    store, split = bench_of(folder, Code()), open_split(folder, "test")
    first, tonic, labels = measuring.excerpts(store, DATA, 0)
    again, *_ = measuring.excerpts(store, DATA, 0)
    assert not tonic.any()
    assert torch.equal(first, again) and any(
        not torch.equal(first, measuring.excerpts(store, DATA, n)[0]) for n in (1, 2, 3)
    )
    assert sorted(map(tuple, labels)) == sorted(
        map(tuple, split.labels)
    ) and first.shape == (
        4,
        3,
        48,
    )
    store.split = lambda name, data: replace(
        open_split(folder, name), n_bars=np.ones(4, int)
    )
    with pytest.raises(RunFailed, match="under two labelled songs of 3 bars"):
        measuring.excerpts(store, DATA, 0)


@pytest.fixture
def real_bench(tmp_path):
    """A bench on the made-up release, whose judge nobody trains."""
    rows = mock_rows()
    for index, row in enumerate(rows["train"]):
        row |= {
            "judge": index < 6,
            "arousal_class": index // 2 % 2,
            "valence_class": index % 2,
        }
    for index, row in enumerate(rows["test"]):
        row |= {"arousal_class": index // 2 % 2, "valence_class": 0}
    url = write_release(tmp_path / "release", rows)
    (tmp_path / "judge.toml").write_text(
        'name = "j"\nkind = "judge"\n[data]\nbars = 3\ntokens_per_bar = 48\nsongs = "judges"\n'
    )
    (tmp_path / "plan.toml").write_text(
        'judge = "judge.toml"\nsongs = 4\n[recipes]\n[judging]\nwindows = 4\n'
    )
    return Store(
        Request(
            str(tmp_path / "plan.toml"),
            (),
            url,
            str(tmp_path / "out"),
            str(tmp_path / "cache"),
        )
    )


def test_judges_hear_test_songs_and_their_halves_share_none(real_bench):
    split = real_bench.split("test", DATA)
    assert (
        set(real_bench.heard.song) == set(range(4))
        and (real_bench.heard.label == split.labels[real_bench.heard.song]).all()
    )
    assert len(real_bench.features_of((0, 0))) == len(
        real_bench.features_of((1, 0))
    ) == 8 and not len(real_bench.features_of((0, 1)))
    first, second = real_bench._halves((1, 0))
    assert len(first) == len(second) == 4
    of_class = real_bench.features_of((1, 0))
    assert np.array_equal(np.concatenate([first, second]), of_class, equal_nan=True)
    with pytest.raises(RunFailed, match="no song of each class of valence"):
        real_bench.refuse([])


def test_what_is_kept_is_worked_out_again_for_anything_that_changes_it(
    real_bench, monkeypatch
):
    count = []

    def work():
        count.append(1)
        return {"times": len(count)}

    def times(settings=None):
        return real_bench.kept("x", settings, work)["times"]

    assert times() == times() == 1 and times([1]) == 2 and times([1]) == 2
    plan, release = real_bench.plan, real_bench.release
    changes = [
        {"plan": replace(plan, songs=5)}, {"plan": replace(plan, strength=0.5)},
        {"plan": replace(plan, judging=replace(plan.judging, pieces=3))},
        {"release": replace(release, sha256="other")},
    ]  # fmt: skip
    for change in changes:
        before = times([1])
        with monkeypatch.context() as patched:
            for name, value in change.items():
                patched.setattr(real_bench, name, value)
            assert times([1]) == times([1]) > before
    before = times([1])
    monkeypatch.setattr("training.experiments.store.MEASURED", 0)
    assert times([1]) == before + 1


def test_a_run_that_was_trained_anew_is_measured_anew(real_bench, tmp_path):
    train = {
        "steps": 2,
        "batch": 2,
        "validate_every": 2,
        "validation_batches": 1,
        "threads": 1,
        "tensorboard": False,
    }
    tables = {
        "kind": "emotionbox",
        "model": {"layers": 1, "width": 8, "embedding": 4},
        "data": {"bars": 3, "tokens_per_bar": 48},
    }
    config = from_tables({**tables, "name": "e-seed0", "train": train})
    first = real_bench.trained(config)
    assert real_bench.trained(config) == first
    for path in (tmp_path / "out" / "runs" / "e-seed0").glob("*.safetensors"):
        path.unlink()
    assert real_bench.trained(config) == first  # the same seed, the same weights
    other = replace(config, name="e-seed1", train=replace(config.train, seed=1))
    assert real_bench.trained(other)[1] != first[1]
