"""Ties and cuts against loops over small random corpora."""

import networkx as nx
import numpy as np
import pytest

from pipelines.dedupe.clusters import components
from pipelines.labels.cuts import MIN_CAP, Graph, cap_of, cut_groups
from pipelines.labels.splits import TEST, TRAIN, VALIDATION
from pipelines.labels.ties import Ties, held_out, lifted, tied_groups

N_SONGS, N_KEYS = 40, 25


def drawn(seed: int) -> tuple[Ties, np.ndarray, np.ndarray, np.random.Generator]:
    """Keys of songs, clusters of one to three songs, which are kept."""
    rng = np.random.default_rng(seed)
    song, key = rng.integers(N_SONGS, size=60), rng.integers(N_KEYS, size=60)
    first, second = rng.integers(N_SONGS, size=(2, 12))
    cluster = components(N_SONGS, first, second).astype(np.int64)
    return Ties(song, key), cluster, rng.random(N_SONGS) < 0.7, rng


def keys_of(ties: Ties) -> list[set[int]]:
    keys: list[set[int]] = [set() for _ in range(N_SONGS)]
    for song, key in zip(ties.song.tolist(), ties.key.tolist(), strict=True):
        keys[song].add(key)
    return keys


@pytest.mark.parametrize("seed", range(10))
def test_a_kept_song_has_the_keys_of_its_cluster_and_no_other_song_has_any(seed):
    ties, cluster, kept, _ = drawn(seed)
    own, told = keys_of(ties), keys_of(lifted(ties, cluster, kept))
    for song in range(N_SONGS):
        mates = [mate for mate in range(N_SONGS) if cluster[mate] == cluster[song]]
        wanted = set().union(*(own[mate] for mate in mates)) if kept[song] else set()
        assert told[song] == wanted


@pytest.mark.parametrize("seed", range(10))
def test_after_the_songs_that_are_set_aside_no_key_stands_in_two_splits(seed):
    ties, cluster, kept, rng = drawn(seed)
    ties = lifted(ties, cluster, kept)
    split = rng.choice([TRAIN, VALIDATION, TEST], N_SONGS, p=[0.6, 0.2, 0.2])
    held, keys = held_out(ties, split), keys_of(ties)
    there = [song for song in range(N_SONGS) if song not in held]
    for key in range(N_KEYS):
        assert len({int(split[song]) for song in there if key in keys[song]}) <= 1
    # Each was set aside for a song that stays, and no training song was.
    for song, (key, other) in held.items():
        assert split[song] != TRAIN and other not in held
        assert key in keys[song] & keys[other] and split[other] != split[song]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_tied_where_another_has_one_of_their_keys(seed):
    ties, cluster, kept, rng = drawn(seed)
    ties, group = lifted(ties, cluster, kept), rng.integers(12, size=N_SONGS)
    keys = keys_of(ties)
    has = [
        set().union(*(keys[song] for song in range(N_SONGS) if group[song] == one))
        for one in range(12)
    ]
    wanted = [
        any(has[one] & has[other] for other in range(12) if other != one)
        for one in range(12)
    ]
    assert tied_groups(ties, group)[:12].tolist() == wanted


def test_a_group_too_large_is_cut_where_it_hangs_by_a_thread():
    # Three crowds of fifty songs, each of one key, in a row by one near pair each.
    n, crowd = 150, np.arange(150) // 50
    near = np.array([[10, 60], [60, 120]])
    weight = np.array([0.2, 0.2])
    keys = np.arange(n), crowd
    graph = Graph(np.arange(n), (near[:, 0], near[:, 1], weight), keys)
    whole = np.zeros(n, np.int64)
    cut = cut_groups(whole, np.arange(n), np.ones(n, np.int64), graph, 60)
    assert cut.tolist() == (crowd * 50).tolist()
    assert (
        cut_groups(whole, np.arange(n), np.ones(n, np.int64), graph, 150).tolist()
        == [0] * n
    )


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_under_the_cap_and_no_cluster_is_parted(seed):
    rng, n = np.random.default_rng(seed), 300
    near = rng.integers(n, size=(2, 500))
    cluster = components(n, *near[:, :60]).astype(np.int64)
    group = components(n, *near).astype(np.int64)
    size = (rng.random(n) < 0.8).astype(np.int64)
    nothing = np.zeros(0, np.int64)
    graph = Graph(cluster, (near[0], near[1], np.ones(500)), (nothing, nothing))
    cut = cut_groups(group, cluster, size, graph, 30)
    for one in np.unique(cut):
        songs = np.flatnonzero(cut == one)
        assert songs[0] == one
        assert size[songs].sum() <= 30 or len(np.unique(cluster[songs])) == 1
    assert (cut[cluster] == cut).all() and (group[cut] == group).all()
    # Fewer edges are parted than by parts of that size at random.
    parted = (cut[near[0]] != cut[near[1]]).mean()
    shuffled = rng.permutation(cut)
    assert parted < 0.7 * (shuffled[near[0]] != shuffled[near[1]]).mean()


def test_a_small_corpus_is_not_cut_for_the_sake_of_a_share():
    assert cap_of(50, 0.01) == MIN_CAP and cap_of(100_000, 0.01) == 1000


def test_networkx_finds_the_same_communities_again():
    graph = nx.gnm_random_graph(200, 400, seed=0)
    first, again = (nx.community.louvain_communities(graph, seed=0) for _ in range(2))
    assert first == again
