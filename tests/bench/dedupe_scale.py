"""Time and memory of duplicate search on a corpus grown from real signatures to the size of
LPD-5-full.

python tests/bench/dedupe_scale.py --lpd lpd_5/lpd_5_full [--songs 174154] [--mode
tunes|copies]

tunes: riffs (shingles of three songs and more) stay what they are and all others are hashed
anew in each round, so that a round is new songs in the old style, one in five of them a
version of an earlier song. copies: each song is the old one with up to half its shingles
changed, so that every piece is there dozens of times.
"""

import argparse
import resource
import time

import numpy as np
from dedupe_accuracy import SHINGLES, read_songs

from pipelines.dedupe.candidates import (
    DedupeConfig,
    Pairs,
    candidate_pairs,
    join_keys,
    key_shares,
    shared_keys,
)
from pipelines.dedupe.clusters import compare, components, shared_shingles, survivors
from pipelines.dedupe.shingles import shingles

CONFIG = DedupeConfig()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lpd", required=True)
    parser.add_argument("--songs", type=int, default=174_154)
    parser.add_argument("--mode", choices=("tunes", "copies"), default="tunes")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--buckets", type=int, default=16)
    args = parser.parse_args()
    real = [shingles(song.notes, SHINGLES) for song in read_songs("lpd5", args.lpd)]
    signatures = grow(real, args.songs, args.mode)
    report("signatures in memory", time.perf_counter())
    cluster(signatures, args.shards, args.buckets)


def grow(real: list[np.ndarray], n_songs: int, mode: str) -> list[np.ndarray]:
    """n_songs signatures: the real ones, then round after round of changed ones."""
    rng = np.random.default_rng(0)
    values, counts = np.unique(np.concatenate(real), return_counts=True)
    riffs = values[counts >= 3]
    grown = list(real)
    while len(grown) < n_songs:
        source = real[len(grown) % len(real)]
        if mode == "copies":
            grown.append(changed(source, rng.uniform(0.5, 1), rng))
        elif rng.random() < 0.2:
            grown.append(changed(grown[rng.integers(len(grown))], rng.uniform(0.2, 1), rng))
        else:
            salt = np.uint64(len(grown) // len(real))
            new = (source ^ salt) * np.uint64(0x9E3779B97F4A7C15)
            grown.append(
                np.unique(np.where(np.isin(source, riffs, assume_unique=True), source, new))
            )
    return grown


def changed(signature: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """The signature with all but a share of its shingles replaced."""
    random = rng.integers(0, 2**64, len(signature), dtype=np.uint64)
    return np.unique(np.where(rng.random(len(signature)) < kept, signature, random))


def cluster(signatures: list[np.ndarray], n_shards: int, n_buckets: int) -> None:
    """All steps, in the portions in which curate runs them."""
    n_songs = len(signatures)
    sizes = np.array([len(signature) for signature in signatures])
    begin = start = time.perf_counter()
    parts = []
    for songs in np.array_split(np.arange(n_songs), n_shards):
        shard = signatures[songs[0] : songs[-1] + 1]
        keys, holders = join_keys(
            np.concatenate(shard), np.append(0, np.cumsum(sizes[songs])), CONFIG
        )
        parts.append((keys, holders + songs[0]))
    keys, holders = (np.concatenate(column) for column in zip(*parts, strict=True))
    begin = report(f"{len(keys) / 1e6:.1f} M join keys", begin)
    buckets = [
        shared_keys(keys[mine], holders[mine])
        for mine in (keys % n_buckets == b for b in range(n_buckets))
    ]
    songs, counts = (np.concatenate(column) for column in zip(*buckets, strict=True))
    begin = report(
        f"{len(counts) / 1e6:.2f} M keys of several songs, held {len(songs) / 1e6:.1f} M times",
        begin,
    )
    likely = candidate_pairs(songs, counts, sizes, key_shares(sizes, CONFIG), CONFIG)
    begin = report(f"{len(likely) / 1e6:.2f} M candidate pairs", begin)
    pairs = Pairs(
        likely.first,
        likely.second,
        shared_shingles(likely.first, likely.second, signatures),
    )
    verdicts = compare(pairs, sizes, CONFIG)
    begin = report(
        f"verified: {verdicts.same_group.sum()} pairs, {verdicts.duplicate.sum()} duplicates",
        begin,
    )
    for chosen in (verdicts.same_group, verdicts.duplicate):
        label = components(n_songs, pairs.first[chosen], pairs.second[chosen])
        members = np.sort(np.bincount(label))[::-1]
        print(
            f"  {(members > 1).sum()} clusters of {members[members > 1].sum()} songs, largest {members[:5].tolist()}"
        )
    removed = (survivors(label, [sizes], np.arange(n_songs)) != np.arange(n_songs)).sum()
    report(f"clusters; {removed} songs removed", begin)
    report("all", start)


def report(what: str, begin: float) -> float:
    now = time.perf_counter()
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{now - begin:6.1f} s  peak {peak_gib:.2f} GiB  {what}", flush=True)
    return now


if __name__ == "__main__":
    main()
