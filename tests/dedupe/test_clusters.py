"""Every step from signatures to clusters against the slow, simple way."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedupe.candidates import (
    DedupeConfig,
    candidate_pairs,
    join_keys,
    key_shares,
    shared_keys,
)
from pipelines.dedupe.clusters import (
    Pairs,
    by_block,
    compare,
    components,
    shared_shingles,
    similar_pairs,
    survivors,
)

EVERY_KEY = DedupeConfig(key_share=1.0, min_shared=1, min_shared_keys=1, key_slack=100.0)


def random_signature(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.unique(rng.integers(0, 2**64, size, dtype=np.uint64))


def corpus(
    seed: int, n_pieces: int, n_versions: int, size: int, kept: float
) -> list[np.ndarray]:
    """Signatures of pieces, each in versions which hold `kept` of the first one's
    shingles and as many of their own."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_pieces):
        piece = random_signature(rng, size)
        for version in range(n_versions):
            held = piece if not version else piece[rng.random(len(piece)) < kept]
            found.append(np.union1d(held, random_signature(rng, size - len(held))))
    return found


def as_set(pairs: Pairs) -> set[tuple[int, int, int]]:
    return set(
        zip(pairs.first.tolist(), pairs.second.tolist(), pairs.shared.tolist(), strict=True)
    )


def meet(signatures, config, max_meetings=4_000_000, order=None):
    """Candidate pairs, the keys handed over in any order and in two buckets."""
    sizes = np.array([len(signature) for signature in signatures])
    keys, songs = join_keys(
        np.concatenate(signatures), np.append(0, np.cumsum(sizes)), config
    )
    if order is not None:
        shuffle = order.permutation(len(keys))
        keys, songs = keys[shuffle], songs[shuffle]
    buckets = [shared_keys(keys[keys % 2 == b], songs[keys % 2 == b]) for b in (1, 0)]
    columns = [np.concatenate(column) for column in zip(*buckets, strict=True)]
    return candidate_pairs(*columns, sizes, key_shares(sizes, config), config, max_meetings)


class TestJoinKeys:
    def test_keys_are_the_low_share_of_each_song(self):
        rng = np.random.default_rng(0)
        signatures = [random_signature(rng, size) for size in (4000, 100, 0, 10)]
        config = DedupeConfig(key_share=1 / 16, min_keys=50)
        offsets = np.append(0, np.cumsum([len(signature) for signature in signatures]))
        keys, songs = join_keys(np.concatenate(signatures), offsets, config)
        for song, share in enumerate((1 / 16, 0.5, 1, 1)):
            assert keys[songs == song].tolist() == [
                h for h in signatures[song].tolist() if h <= share * 2**64
            ]
        assert np.allclose(key_shares(np.diff(offsets), config), [1 / 16, 0.5, 1, 1])

    def test_a_whole_share_takes_the_last_hash(self):
        top = np.array([2**64 - 1], np.uint64)
        assert join_keys(top, np.array([0, 1]), DedupeConfig())[0].tolist() == top.tolist()


class TestCandidates:
    @given(
        st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=12), st.integers(1, 50)
    )
    @settings(max_examples=100, deadline=None)
    def test_against_all_pairs(self, sets, max_meetings):
        signatures = [np.array(sorted(one), np.uint64) for one in sets]
        expected = {
            (a, b, len(sets[a] & sets[b]))
            for a, b in combinations(range(len(sets)), 2)
            if sets[a] & sets[b]
        }
        assert (
            as_set(meet(signatures, EVERY_KEY, max_meetings, np.random.default_rng(0)))
            == expected
        )

    def test_sorted_and_the_same_in_any_order_and_portion(self):
        signatures = corpus(1, 20, 4, 800, 0.7)
        pairs = meet(signatures, DedupeConfig())
        codes = pairs.first.astype(np.int64) << 32 | pairs.second
        assert (np.diff(codes) > 0).all()
        for seed, max_meetings in ((0, 1), (1, 500), (2, 10**9)):
            assert as_set(
                meet(signatures, DedupeConfig(), max_meetings, np.random.default_rng(seed))
            ) == as_set(pairs)

    @pytest.mark.parametrize("kept", [0.4, 0.6, 0.9])
    def test_no_similar_pair_is_lost(self, kept):
        signatures = corpus(2, 20, 4, 800, kept)
        similar = {(a, b) for a, b, _ in as_set(brute_force(signatures, DedupeConfig())[0])}
        found = {(a, b) for a, b, _ in as_set(meet(signatures, DedupeConfig()))}
        assert len(similar) >= 60
        assert similar <= found

    def test_half_of_a_small_song_in_a_large_one_is_no_less_a_candidate(self):
        rng = np.random.default_rng(10)
        whole = random_signature(rng, 4000)
        parts = [
            np.union1d(rng.choice(whole, 160, replace=False), random_signature(rng, 140))
            for _ in range(20)
        ]
        found = meet([whole, *parts], DedupeConfig())
        assert found.second[found.first == 0].tolist() == list(range(1, 21))

    def test_chance_meetings_are_no_candidates(self):
        rng = np.random.default_rng(3)
        riff = random_signature(rng, 60)
        signatures = [np.union1d(riff, random_signature(rng, 1000)) for _ in range(30)]
        assert len(meet(signatures, DedupeConfig(key_slack=1.0))) == 0

    def test_riffs_join_neighbours_alone(self):
        signatures = [np.array([7, 100 + song], np.uint64) for song in range(6)]
        capped = DedupeConfig(
            key_share=1.0,
            min_shared=1,
            min_shared_keys=1,
            key_slack=100.0,
            max_songs_per_key=5,
        )
        assert as_set(meet(signatures, capped)) == {
            (song, song + 1, 1) for song in range(5)
        }
        assert len(meet(signatures[:5], capped)) == 10

    def test_a_piece_with_more_copies_than_the_cap_stays_one_cluster(self):
        signatures = corpus(4, 2, 60, 600, 0.9)
        pairs, _ = similar_pairs(signatures, DedupeConfig(max_songs_per_key=10))
        label = components(len(signatures), pairs.first, pairs.second)
        assert label.tolist() == [0] * 60 + [60] * 60

    def test_no_songs_no_keys(self):
        empty = [np.zeros(0, np.uint64)] * 3
        assert len(meet(empty, DedupeConfig())) == 0
        assert len(similar_pairs(empty, DedupeConfig())[0]) == 0
        assert len(similar_pairs([], DedupeConfig())[0]) == 0


def brute_force(signatures, config):
    """Pairs over the group thresholds, and those over the duplicate thresholds."""
    groups, duplicates = [], []
    sets = [set(signature.tolist()) for signature in signatures]
    for a, b in combinations(range(len(sets)), 2):
        shared = len(sets[a] & sets[b])
        small, large = sorted((len(sets[a]), len(sets[b])))
        if shared < max(1, config.min_shared):
            continue
        jaccard, containment = shared / (small + large - shared), shared / small
        if jaccard >= config.group_jaccard or containment >= config.group_containment:
            groups.append((a, b, shared))
        if (
            jaccard >= config.duplicate_jaccard
            or containment >= config.duplicate_containment
        ):
            duplicates.append((a, b, shared))
    return tuple(
        Pairs(*np.array(found, np.int32).reshape(-1, 3).T) for found in (groups, duplicates)
    )


class TestSimilarity:
    @given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)), st.integers(0, 20))
    @settings(max_examples=200, deadline=None)
    def test_against_sets(self, a, b, min_shared):
        signatures = [np.array(sorted(one), np.uint64) for one in (a, b)]
        config = DedupeConfig(min_shared=min_shared)
        shared = shared_shingles(np.array([0]), np.array([1]), signatures)
        assert shared.tolist() == [len(a & b)]
        verdicts = compare(
            Pairs(np.array([0]), np.array([1]), shared), np.array([len(a), len(b)]), config
        )
        assert verdicts.jaccard[0] == pytest.approx(len(a & b) / max(1, len(a | b)))
        assert verdicts.containment[0] == pytest.approx(
            len(a & b) / max(1, min(len(a), len(b)))
        )
        groups, duplicates = brute_force(signatures, config)
        assert verdicts.same_group[0] == bool(len(groups)) or not a & b
        assert verdicts.duplicate[0] == bool(len(duplicates)) or not a & b

    def test_all_of_it_against_all_pairs(self):
        signatures = corpus(5, 30, 3, 700, 0.55) + corpus(6, 30, 3, 100, 0.7)
        pairs, verdicts = similar_pairs(signatures, DedupeConfig())
        groups, duplicates = brute_force(signatures, DedupeConfig())
        assert as_set(pairs) == as_set(groups)
        assert as_set(pairs.take(verdicts.duplicate)) == as_set(duplicates)
        assert verdicts.same_group.all()
        assert 0 < len(duplicates) < len(groups)

    def test_tiny_songs_are_not_contained_in_everything(self):
        rng = np.random.default_rng(7)
        scale = random_signature(rng, 15)
        signatures = [
            scale,
            *(np.union1d(scale, random_signature(rng, 500)) for _ in range(10)),
        ]
        assert len(similar_pairs(signatures, DedupeConfig())[0]) == 0

    def test_an_excerpt_is_found_by_containment(self):
        rng = np.random.default_rng(8)
        whole = random_signature(rng, 2000)
        _, verdicts = similar_pairs(
            [whole, np.sort(rng.choice(whole, 150, replace=False))], DedupeConfig()
        )
        assert verdicts.jaccard[0] < 0.1
        assert verdicts.duplicate.tolist() == [True]


@given(st.integers(1, 40), st.data())
@settings(max_examples=100, deadline=None)
def test_components_against_search(n_songs, data):
    song = st.integers(0, n_songs - 1)
    edges = data.draw(st.lists(st.tuples(song, song), max_size=60))
    first, second = np.array(edges, np.int32).reshape(-1, 2).T
    near = {one: {one} for one in range(n_songs)}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    expected = []
    for one in range(n_songs):
        seen, border = {one}, [one]
        while border:
            border = [
                other
                for reached in border
                for other in near[reached]
                if other not in seen and not seen.add(other)
            ]
        expected.append(min(seen))
    assert components(n_songs, first, second).tolist() == expected


def test_components_of_a_long_chain():
    order = np.random.default_rng(0).permutation(10_000)
    assert not components(10_000, order[:-1], order[1:]).any()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40),
    st.lists(st.integers(0, 3), min_size=10),
)
@settings(max_examples=100, deadline=None)
def test_by_block_hands_over_every_pair_once(edges, block):
    first, second = np.array(edges, np.int32).reshape(-1, 2).T
    pairs = Pairs(first, second, np.arange(len(edges), dtype=np.int32))
    seen = []
    for low, high, part in by_block(pairs, np.array(block)):
        assert {
            tuple(sorted((block[a], block[b])))
            for a, b in zip(part.first, part.second, strict=True)
        } == {(low, high)}
        seen.append((low, high))
        edges = [
            edge
            for edge in edges
            if tuple(sorted((block[edge[0]], block[edge[1]]))) != (low, high)
        ]
    assert not edges
    assert seen == sorted(set(seen))


class TestSurvivors:
    def test_quality_in_order_then_rank(self):
        cluster = np.array([0, 0, 0, 3, 4, 4, 6, 6])
        passes = np.array([False, True, True, False, True, True, True, True])
        tracks = np.array([5, 2, 3, 1, 4, 4, 2, 2])
        seconds = np.array([9.0, 9.0, 9.0, 1.0, 60.0, 61.0, 7.0, 7.0])
        rank = np.array([0, 1, 2, 3, 4, 5, 7, 6])
        assert survivors(cluster, [passes, tracks, seconds], rank).tolist() == [
            2,
            2,
            2,
            3,
            5,
            5,
            7,
            7,
        ]

    def test_order_of_arrival_does_not_matter(self):
        rng = np.random.default_rng(0)
        n_songs = 200
        label = components(n_songs, *rng.integers(0, n_songs, (2, 120)))
        quality = [rng.integers(0, 2, n_songs), rng.integers(1, 3, n_songs)]
        kept = survivors(label, quality, np.arange(n_songs))
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(n_songs)
            place = np.argsort(order)
            shuffled = components(
                n_songs, *place[np.array(np.nonzero(np.triu(label[:, None] == label, 1)))]
            )
            again = survivors(shuffled, [column[order] for column in quality], order)
            assert order[again][place].tolist() == kept.tolist()

    def test_nothing(self):
        none = np.zeros(0, np.int64)
        assert survivors(none, [none], none).tolist() == []


def test_clusters_do_not_depend_on_the_order_of_songs():
    signatures = corpus(9, 40, 3, 500, 0.6)
    clusters = None
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(signatures))
        pairs, verdicts = similar_pairs(
            [signatures[song] for song in order], DedupeConfig()
        )
        for chosen in (verdicts.same_group, verdicts.duplicate):
            label = components(len(order), pairs.first[chosen], pairs.second[chosen])
        found = {frozenset(order[label == one].tolist()) for one in label}
        clusters = clusters or found
        assert found == clusters
    assert any(len(cluster) > 1 for cluster in clusters)


@pytest.mark.parametrize(
    "settings_",
    [{"group_jaccard": 0.5}, {"duplicate_containment": 0.4}, {"key_share": 0.0}],
)
def test_senseless_thresholds_are_refused(settings_):
    with pytest.raises(ValueError, match=r"must be over 0|at least as similar"):
        DedupeConfig(**settings_)
