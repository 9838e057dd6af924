"""Allotting whole corpora: no key in two splits, whatever is cut, tied or given, and the
same in any order."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dedupe.clusters import PAIRS, components
from pipelines.dedupe.copies import numbered
from pipelines.labels import cuts
from pipelines.labels.allot import Allotted, Songs, allot
from pipelines.labels.groups import KEYS
from pipelines.labels.splits import SPLITS, Shares

N_SONGS, CAP = 400, 30
IDS = [f"s{song:03d}" for song in range(N_SONGS)]


def corpus(seed: int, given: bool) -> tuple[Songs, pa.Table, pa.Table]:
    """Songs, near pairs and keys, dense enough that groups burst."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(N_SONGS, size=(2, 250)), axis=0)
    ends = ends[:, ends[0] < ends[1]]
    likeness = rng.random(ends.shape[1]).astype(np.float32)
    pairs = pa.table(
        [
            [IDS[i] for i in ends[0]],
            [IDS[i] for i in ends[1]],
            likeness,
            likeness,
            likeness > 0.8,
        ],
        PAIRS,
    )
    song, key = rng.integers(N_SONGS, size=500), rng.integers(300, size=500)
    held = dict.fromkeys(zip(song.tolist(), key.tolist(), strict=True))
    sure = rng.random(len(held)) < 0.5
    keys = pa.table(
        [[IDS[one] for one, _ in held], [f"k{other}" for _, other in held], sure], KEYS
    )
    copies = ends[:, likeness > 0.8]
    cluster = components(N_SONGS, *copies).astype(np.int64)
    kept = (cluster == np.arange(N_SONGS)) & (rng.random(N_SONGS) < 0.9)
    labelled = rng.random(N_SONGS) < 0.7
    songs = Songs(
        IDS, cluster, kept, rng.choice(["a", "b", "c"], N_SONGS).tolist(), labelled,
        labelled & (rng.random(N_SONGS) < 0.3),
        rng.integers(-1, 3, N_SONGS).astype(np.int8) if given else np.full(N_SONGS, -1, np.int8),
    )  # fmt: skip
    return songs, pairs, keys


def told(songs: Songs, pairs: pa.Table, keys: pa.Table) -> Allotted:
    return allot(songs, numbered(IDS, pairs), keys, 0, Shares())


@pytest.fixture(autouse=True)
def _small_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "MIN_CAP", CAP)


@pytest.mark.parametrize(("seed", "given"), [(0, False), (1, False), (2, True), (3, True)])
def test_no_key_and_no_near_pair_of_published_songs_stands_in_two_splits(seed, given):
    songs, pairs, keys = corpus(seed, given)
    result = told(songs, pairs, keys)
    published = [
        song for song in range(N_SONGS) if songs.kept[song] and song not in result.held
    ]
    split = {song: SPLITS[result.split[song]] for song in published}
    mates = defaultdict(list)
    for song in range(N_SONGS):
        mates[int(songs.cluster[song])].append(IDS[song])
    of_song = defaultdict(set)
    for row in keys.to_pylist():
        of_song[row["song_id"]].add(row["key"])
    lists, where = result.keys.to_pylist(), defaultdict(set)
    for song in published:
        mine = set().union(*(of_song[mate] for mate in mates[int(songs.cluster[song])]))
        assert lists[song] == sorted(mine)
        for key in mine:
            where[key].add(split[song])
    assert len(where) > 100 and all(len(splits) == 1 for splits in where.values())
    for row in pairs.to_pylist():
        ends = [IDS.index(row[side]) for side in ("a", "b")]
        assert len({split[end] for end in ends if end in split}) <= 1
    assert result.counts["cut"] >= 1 and result.counts["largest_before"] > 100
    for group in set(result.group.tolist()):
        members = np.flatnonzero((result.group == group) & songs.kept)
        assert len(members) <= CAP or len(set(songs.cluster[members].tolist())) == 1
    if given:
        mine = (songs.given >= 0) & songs.kept
        assert (result.split == songs.given)[mine].all() and result.counts[
            "given_conflicts"
        ]


def test_the_order_of_keys_and_pairs_says_nothing():
    songs, pairs, keys = corpus(0, False)
    rng = np.random.default_rng(1)
    first = told(songs, pairs, keys)
    again = told(
        songs,
        pairs.take(rng.permutation(len(pairs))),
        keys.take(rng.permutation(len(keys))),
    )
    assert (first.split == again.split).all() and (first.group == again.group).all()
    assert first.held == again.held and first.counts == again.counts
    assert first.keys.equals(again.keys)


def test_a_cut_is_no_matter_of_the_seed():
    songs, pairs, keys = corpus(0, False)
    near = numbered(IDS, pairs)
    one, two = (allot(songs, near, keys, seed, Shares()) for seed in (0, 1))
    assert (one.group == two.group).all() and (one.split != two.split).any()
