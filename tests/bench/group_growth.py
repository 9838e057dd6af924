"""How groups grow with a corpus, where closure bursts, and what the splits make of it.

    python tests/bench/group_growth.py --graph FOLDER [--simulate 174154 1000000]

--graph: folder with keys.csv (kind, key, song, of_chosen_match), near_pairs.csv and
songs.csv: what binds the songs of a corpus.

1. Growth. Songs are drawn from the graph, and closed over all keys and over the sure ones.
   chi is the mean size of a song's group. Where closure bursts into one giant group, 1/chi
   reaches 0; 1/chi = 1 - (n / n_burst)^gamma is fitted to the draws (percolation: chi
   diverges at the threshold).
2. Splits of the whole graph: old (all keys closed, a hash a group) and new.
3. Simulation at sizes that no graph is at hand for. Songs are files of pieces, drawn by a
   Chinese restaurant process with concentration THETA; a song's match bears its piece's
   name with probability RIGHT, else another song's in WRONG_SHARED of the cases and a name
   of nobody else in the rest; it has doubtful matches as often as songs of the graph do,
   DOUBT_SHARED of them with the name of another song's match; two files of a piece are
   near-duplicates with probability NEAR, and NEAR_DUPLICATES of these are duplicates.
   Chosen so that the growth is the graph's (printed). Beyond the size of the graph it is a
   guess: the splits hold at whatever it gives, which is what it is for.
"""

import argparse
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from scipy.optimize import curve_fit

from pipelines.dedupe.clusters import PAIRS, components
from pipelines.dedupe.copies import NumberedPairs
from pipelines.labels.allot import Allotted, Songs, allot
from pipelines.labels.groups import KEYS
from pipelines.labels.splits import SPLITS, Shares, hashed_uniform

SIZES = (837, 1675, 3848, 6600, 9900)
DRAWS = 20
THETA, RIGHT, WRONG_SHARED, DOUBT_SHARED = 20_000, 0.6, 0.05, 0.3
NEAR, NEAR_DUPLICATES = 0.45, 0.64
# Doubtful matches a song, 0 to 8, as the graph has them.
DOUBTFUL = np.array([9128, 2398, 870, 369, 190, 86, 42, 26, 106])


@dataclass(frozen=True, eq=False)
class Bonds:
    """n songs; song and key: who has which key; sure: whether surely; near: songs of near
    pairs (2, n), and which of these are duplicates; kept: of each song."""

    n: int
    song: np.ndarray
    key: np.ndarray
    sure: np.ndarray
    near: np.ndarray
    duplicate: np.ndarray
    kept: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graph", required=True)
    parser.add_argument("--simulate", type=int, nargs="*", default=[])
    parser.add_argument(
        "--wrong",
        type=float,
        default=WRONG_SHARED,
        help="WRONG_SHARED of the larger corpora: more makes sure keys burst too",
    )
    args = parser.parse_args()
    bonds = read_bonds(Path(args.graph))
    print(
        f"1. {bonds.n:,} songs, {len(bonds.song):,} keys, {bonds.near.shape[1]:,} near pairs"
    )
    report_growth(bonds)
    print("\n2. splits of the whole graph")
    report_old(bonds)
    report_new(bonds)
    print("\n3. simulated")
    report_growth(simulated(bonds.n, 0))
    for n in args.simulate:
        many = simulated(n, 1, args.wrong)
        print(f"   {n:,} songs, {len(many.song):,} keys, {many.near.shape[1]:,} near pairs")
        report_old(many)
        report_new(many)


def read_bonds(folder: Path) -> Bonds:
    keys, near, songs = (
        csv.read_csv(folder / f"{name}.csv") for name in ("keys", "near_pairs", "songs")
    )
    kind = np.array(keys["kind"].to_pylist(), object)
    true = kind == "true_name"
    kind[true] = "name"
    number = keys["key"].to_numpy()
    code = np.unique(
        [f"{k}:{n}" for k, n in zip(kind, number, strict=True)], return_inverse=True
    )[1]
    sure = (keys["of_chosen_match"].to_numpy() == 1) | true
    return Bonds(
        songs.num_rows, keys["song"].to_numpy(), code, sure,
        np.stack([near["a"].to_numpy(), near["b"].to_numpy()]), near["duplicate"].to_numpy() == 1,
        songs["kept"].to_numpy() == 1,
    )  # fmt: skip


def simulated(n: int, seed: int, wrong_shared: float = WRONG_SHARED) -> Bonds:
    """n songs as the third point of the head says; beyond LPD-5-full's size the number of
    files a piece stays what it is there."""
    rng = np.random.default_rng(seed)
    theta = THETA * max(1.0, n / 174_154)
    piece = restaurant(n, theta, rng)
    right = rng.random(n) < RIGHT
    fresh = n + np.arange(n)
    wrong = np.where(rng.random(n) < wrong_shared, piece[rng.integers(n, size=n)], fresh)
    chosen = np.where(right, piece, wrong)
    times = rng.choice(len(DOUBTFUL), n, p=DOUBTFUL / DOUBTFUL.sum())
    doubter = np.repeat(np.arange(n), times)
    own = 2 * n + np.arange(len(doubter))
    other = chosen[rng.integers(n, size=len(doubter))]
    doubted = np.where(rng.random(len(doubter)) < DOUBT_SHARED, other, own)
    near = near_pairs(piece, rng)
    return Bonds(
        n, np.append(np.arange(n), doubter), np.append(chosen, doubted),
        np.append(np.ones(n, bool), np.zeros(len(doubter), bool)), near,
        rng.random(near.shape[1]) < NEAR_DUPLICATES, rng.random(n) < 0.75,
    )  # fmt: skip


def restaurant(n: int, theta: float, rng: np.random.Generator) -> np.ndarray:
    """The piece of each song, by the Chinese restaurant process."""
    new = rng.random(n) < theta / (theta + np.arange(n))
    like = (rng.random(n) * np.arange(n)).astype(np.int64)
    piece = np.arange(n)
    for song in np.flatnonzero(~new).tolist():
        piece[song] = piece[like[song]]
    return piece


def near_pairs(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of songs of one piece, each with probability NEAR; (2, n)."""
    order = np.argsort(piece, kind="stable")
    starts = np.flatnonzero(np.diff(piece[order], prepend=-1))
    pairs = [np.zeros((2, 0), np.int64)]
    for songs in np.split(order, starts[1:]):
        if len(songs) > 1:
            first, second = np.triu_indices(len(songs), 1)
            hit = rng.random(len(first)) < NEAR
            pairs.append(np.stack([songs[first[hit]], songs[second[hit]]]))
    return np.concatenate(pairs, axis=1)


def closed(bonds: Bonds, there: np.ndarray, only_sure: bool) -> np.ndarray:
    """The sizes of the groups of the songs that are there, largest first."""
    keys = there[bonds.song] & (bonds.sure if only_sure else True)
    near = bonds.near[:, there[bonds.near].all(axis=0)]
    n_nodes = bonds.n + int(bonds.key.max()) + 1
    first = np.append(bonds.song[keys], near[0])
    second = np.append(bonds.key[keys] + bonds.n, near[1])
    label = components(n_nodes, first, second)[: bonds.n][there]
    sizes = np.bincount(label)
    return np.sort(sizes[sizes > 0])[::-1]


def report_growth(bonds: Bonds) -> None:
    rng = np.random.default_rng(0)
    print(
        "   songs    closed over all: largest, chi    over sure keys: largest, chi  (means of draws)"
    )
    found: dict[bool, list[tuple[int, float]]] = {False: [], True: []}
    for n in (*SIZES, bonds.n):
        cells = []
        for only_sure in (False, True):
            largest, chis = [], []
            for _ in range(DRAWS if n < bonds.n else 1):
                there = np.zeros(bonds.n, bool)
                there[rng.permutation(bonds.n)[:n]] = True
                sizes = closed(bonds, there, only_sure)
                largest.append(sizes[0])
                chis.append((sizes**2).sum() / n)
                found[only_sure].append((n, chis[-1]))
            cells.append(f"{np.mean(largest):20.1f} {np.mean(chis):8.2f}")
        print(f"   {n:6,}  {cells[0]}  {cells[1]}")
    for only_sure, said in ((False, "all keys"), (True, "sure keys")):
        n, chi = np.array(found[only_sure]).T
        (burst, gamma), spread = curve_fit(
            lambda n, burst, gamma: 1 - (n / burst) ** gamma, n, 1 / chi, (30_000, 1.0)
        )
        print(
            f"   {said}: 1/chi = 1 - (n / n_burst)^gamma, n_burst {burst:,.0f} "
            f"(standard error {np.sqrt(spread[0, 0]):,.0f}), gamma {gamma:.2f}"
        )


def report_old(bonds: Bonds) -> None:
    """All keys closed, one hash a group."""
    everything = (
        np.append(bonds.song, bonds.near[0]),
        np.append(bonds.key + bonds.n, bonds.near[1]),
    )
    group = components(bonds.n + int(bonds.key.max()) + 1, *everything)[: bonds.n]
    for seed in range(3):
        draw = {one: hashed_uniform("split", seed, str(one)) for one in set(group.tolist())}
        at = np.array([draw[one] for one in group.tolist()])[bonds.kept]
        shares = [(at < 0.8).mean(), ((at >= 0.8) & (at < 0.9)).mean(), (at >= 0.9).mean()]
        print(
            f"   old, seed {seed}: largest group {np.bincount(group, bonds.kept).max():,.0f}, shares",
            end=" ",
        )
        print(" ".join(f"{share:.3f}" for share in shares))


def report_new(bonds: Bonds) -> None:
    ids = [f"{song:07d}" for song in range(bonds.n)]
    text = pa.array(ids)
    keys = pa.table(
        [
            text.take(pa.array(bonds.song)),
            [f"key:{key}" for key in bonds.key.tolist()],
            bonds.sure,
        ],
        KEYS,
    )
    likeness = np.where(bonds.duplicate, 0.6, 0.2).astype(np.float32)
    pairs = pa.table(
        [
            text.take(pa.array(bonds.near[0])),
            text.take(pa.array(bonds.near[1])),
            likeness,
            likeness,
            bonds.duplicate,
        ],
        PAIRS,
    )
    copies = bonds.near[:, bonds.duplicate]
    cluster = components(bonds.n, *copies)
    # One song of each duplicate cluster stays, as in a build.
    kept = bonds.kept & (
        np.unique(cluster, return_index=True)[1][np.unique(cluster, return_inverse=True)[1]]
        == np.arange(bonds.n)
    )
    rng = np.random.default_rng(0)
    quadrant = rng.choice(
        ["happy", "tense", "sad", "calm", ""], bonds.n, p=[0.4, 0.1, 0.2, 0.1, 0.2]
    )
    songs = Songs(
        ids,
        cluster,
        kept,
        quadrant.tolist(),
        quadrant != "",
        rng.random(bonds.n) < 0.3,
        np.full(bonds.n, -1, np.int8),
    )
    begin = time.perf_counter()
    result = allot(songs, NumberedPairs(*bonds.near, pairs), keys, 0, Shares())
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    published = kept & ~np.isin(np.arange(bonds.n), list(result.held))
    shares = np.bincount(result.split[published], minlength=3) / published.sum()
    balance = max(
        abs(np.mean(result.split[published & (quadrant == one)] == split) - shares[split])
        for one in np.unique(quadrant)
        for split in range(3)
    )
    print(
        f"   new: {kept.sum():,} songs kept, {seconds:.1f} s, peak {peak:.2f} GiB; shares",
        end=" ",
    )
    print(" ".join(f"{share:.4f}" for share in shares), end="; ")
    print(f"a quadrant's share off by at most {100 * balance:.2f} points")
    print(f"   {result.counts}")
    print(
        f"   set aside {len(result.held):,}; keys in two splits {leaks(bonds, result, published, cluster)}"
    )


def leaks(
    bonds: Bonds, result: Allotted, published: np.ndarray, cluster: np.ndarray
) -> int:
    """Keys and near pairs that stand in two splits, counted from the bonds alone: a published
    song answers for all of its cluster."""
    of_cluster = np.full(bonds.n, -1)
    of_cluster[cluster[published]] = result.split[published]
    split = of_cluster[cluster[bonds.song]]
    pairs = np.unique(np.stack([bonds.key, split])[:, split >= 0], axis=1)
    ends = of_cluster[cluster[bonds.near]]
    return int(
        (np.bincount(pairs[0]) > 1).sum()
        + ((ends >= 0).all(axis=0) & (ends[0] != ends[1])).sum()
    )


if __name__ == "__main__":
    assert len(SPLITS) == 3
    main()
