"""How well duplicates are found: labelled pairs, edits of real songs, and pairs to look at
by title.

python tests/bench/dedupe_accuracy.py --lpd lpd_5/lpd_5_full --pairs duplicate_pairs.csv \
[--names lmd_clean_names.tsv] [--matches lpd_matched_ids.txt --tracks
msd_spotify_features.csv] [--nottingham DIR]
"""

import argparse
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from dedupe_edits import EDITS

from pipelines.dedupe.candidates import DedupeConfig, Pairs
from pipelines.dedupe.clusters import compare, components, shared_shingles, similar_pairs
from pipelines.dedupe.fingerprint import content_hash
from pipelines.dedupe.shingles import ShingleConfig, shingles
from pipelines.io.files import BeamFiles
from pipelines.registry import SOURCES
from schemas.contracts import Limits
from schemas.grid import quantise
from schemas.song import Song

SHINGLES, DEDUPE = ShingleConfig(), DedupeConfig()
# Short n-grams of lines alone: what two arrangements of one tune still share, and two songs
# much less.
TUNE = ShingleConfig(line_intervals=4, chord_events=1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lpd", required=True)
    parser.add_argument("--pairs", required=True)
    for optional in ("--names", "--matches", "--tracks", "--nottingham"):
        parser.add_argument(optional)
    args = parser.parse_args()
    songs = read_songs("lpd5", args.lpd)
    titles = read_titles(args.names, args.matches, args.tracks)
    labels = read_table(args.pairs, ",")
    signatures = sign(songs)
    pairs = find(songs, signatures)
    report_labels(labels, songs, signatures, titles)
    report_edits(songs[:: len(songs) // 150][:150])
    report_news(pairs, labels, songs, titles)
    report_refused(labels, songs, signatures, titles)
    if args.nottingham:
        report_nottingham(args.nottingham)


def read_songs(name: str, root: str) -> list[Song]:
    """Every song of a corpus, by its source."""
    source, files = SOURCES[name], BeamFiles()
    config, limits = source.config(root=root), Limits()
    begin = time.perf_counter()
    songs = [
        source.parse(
            item, tuple(files.read(root, path) for path in item.paths), config, limits
        )
        for item in source.items(files, config)
    ]
    print(f"{name}: {len(songs)} songs read in {time.perf_counter() - begin:.1f} s")
    return songs


def read_table(path: str, delimiter: str) -> list[dict[str, str]]:
    return list(
        csv.DictReader(Path(path).read_text("utf-8").splitlines(), delimiter=delimiter)
    )


def read_titles(
    names: str | None, matches: str | None, tracks: str | None
) -> dict[str, list[str]]:
    """md5 → what it is said to be: its name in clean_midi (marked =), then the MSD
    tracks it was matched to."""
    titles = defaultdict(list)
    if names:
        for row in read_table(names, "\t"):
            titles[row["md5"]].append(f"={row['artist']}: {row['title']}")
    if matches and tracks:
        by_track = {
            row["track_id"]: f"{row['artist']}: {row['title']}"
            for row in read_table(tracks, ",")
        }
        for line in Path(matches).read_text("utf-8").splitlines():
            md5, track = line.split()
            titles[md5] += [by_track[track]] if track in by_track else []
    return titles


def sign(songs: list[Song]) -> list[np.ndarray]:
    """Signatures, and what they cost."""
    grids = [quantise(song) for song in songs]
    begin = time.perf_counter()
    hashes = Counter(
        content_hash(song, grid) for song, grid in zip(songs, grids, strict=True)
    )
    between = time.perf_counter()
    signatures = [shingles(song.notes, SHINGLES) for song in songs]
    end = time.perf_counter()
    sizes = np.array([len(signature) for signature in signatures])
    print(f"content hash {(between - begin) / len(songs) * 1e3:.2f} ms a song")
    cost = (end - between) / len(songs) * 1e3
    print(
        f"shingles {cost:.2f} ms a song; {sizes.mean():.0f} a song, median {np.median(sizes):.0f}"
    )
    print(
        f"songs of under {DEDUPE.min_shared} shingles: {(sizes < DEDUPE.min_shared).sum()}"
    )
    print(
        f"pairs of one content hash: {sum(n * (n - 1) // 2 for key, n in hashes.items() if key)}"
    )
    return signatures


def find(songs: list[Song], signatures: list[np.ndarray]) -> Pairs:
    """The similar pairs; prints clusters at both thresholds."""
    begin = time.perf_counter()
    pairs, verdicts = similar_pairs(signatures, DEDUPE)
    print(f"similar pairs among {len(songs)}: {time.perf_counter() - begin:.2f} s")
    for name, chosen in (
        ("one group", verdicts.same_group),
        ("duplicates", verdicts.duplicate),
    ):
        sizes = np.bincount(
            components(len(songs), pairs.first[chosen], pairs.second[chosen])
        )
        sizes = np.sort(sizes[sizes > 1])[::-1]
        count = f"{chosen.sum()} pairs, {len(sizes)} clusters of {sizes.sum()} songs"
        print(f"  {name}: {count}, largest {sizes[:8].tolist()}")
    return pairs


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float, bool, bool]:
    """Jaccard, containment, one group, duplicates."""
    both = [a, b]
    pair = Pairs(
        np.array([0]), np.array([1]), shared_shingles(np.array([0]), np.array([1]), both)
    )
    verdicts = compare(pair, np.array([len(a), len(b)]), DEDUPE)
    return (
        verdicts.jaccard[0],
        verdicts.containment[0],
        bool(verdicts.same_group[0]),
        bool(verdicts.duplicate[0]),
    )


def report_labels(labels, songs, signatures, titles) -> None:
    """Recall of the labelled pairs, and the negatives that were accepted."""
    at = {song.source_key: i for i, song in enumerate(songs)}
    accepted, total = Counter(), Counter()
    for row in labels:
        jaccard, containment, found, _ = similarity(
            signatures[at[row["md5_a"]]], signatures[at[row["md5_b"]]]
        )
        accepted[row["kind"]] += found
        total[row["kind"]] += 1
        if (
            found == (row["kind"] in ("random_negative", "hard_negative"))
            and row["same_title"] == "0"
        ):
            wrong = f"{jaccard:.2f} {containment:.2f} {say(row['md5_a'], titles)} ~ {say(row['md5_b'], titles)}"
            print(f"  {'FALSE' if found else 'MISSED'} {wrong}")
    for kind in sorted(total):
        print(f"  {kind}: {accepted[kind]} of {total[kind]} accepted")


def say(md5: str, titles: dict[str, list[str]]) -> str:
    return f"{md5[:6]} {'; '.join(sorted(set(titles[md5])))[:70]}"


def report_edits(songs: Iterable[Song]) -> None:
    """Share of edited songs found in one group with their original, and as its
    duplicates."""
    originals = [(song, shingles(song.notes, SHINGLES)) for song in songs]
    print(f"edits of {len(originals)} songs: asked, one group, duplicates, songs not found")
    for name, (asked, edit) in EDITS.items():
        verdicts = []
        for seed, (song, original) in enumerate(originals):
            edited = edit(song.notes, np.random.default_rng(seed))
            verdicts.append(similarity(original, shingles(edited, SHINGLES)))
        lost = [
            song.source_key[:6]
            for (song, _), verdict in zip(originals, verdicts, strict=True)
            if not verdict[2]
        ]
        group, duplicate = (np.mean([verdict[i] for verdict in verdicts]) for i in (2, 3))
        print(f"  {name:22s} {asked:.2f}  {group:.3f}  {duplicate:.3f}  {' '.join(lost)}")


def report_news(pairs: Pairs, labels, songs, titles) -> None:
    """Accepted pairs that the reference lacks, evenly over the range of similarity."""
    known = {
        frozenset((row["md5_a"], row["md5_b"]))
        for row in labels
        if row["in_reference"] == "1"
    }
    ids = [song.source_key for song in songs]
    new = [
        (a, b, n)
        for a, b, n in zip(pairs.first, pairs.second, pairs.shared, strict=True)
        if {ids[a], ids[b]} not in known
    ]
    print(f"{len(new)} accepted pairs that the reference lacks; ten of them:")
    sizes = [len(shingles(song.notes, SHINGLES)) for song in songs]
    new.sort(key=lambda pair: pair[2] / (sizes[pair[0]] + sizes[pair[1]] - pair[2]))
    for a, b, shared in new[:: max(1, len(new) // 10)][:10]:
        jaccard, containment = (
            shared / (sizes[a] + sizes[b] - shared),
            shared / min(sizes[a], sizes[b]),
        )
        found = f"{jaccard:.2f} {containment:.2f} ({shared} of {sizes[a]}, {sizes[b]})"
        print(f"  {found} {say(ids[a], titles)} ~ {say(ids[b], titles)}")


def report_refused(labels, songs, signatures, titles) -> None:
    """Pairs of one title that were refused, and what their tunes have in common, beside
    that of unlike songs."""
    at = {song.source_key: i for i, song in enumerate(songs)}

    def tune_in_common(row) -> float:
        return similarity(
            *(shingles(songs[at[row[name]]].notes, TUNE) for name in ("md5_a", "md5_b"))
        )[1]

    unlike = sorted(
        tune_in_common(row) for row in labels if row["kind"] == "random_negative"
    )
    usual, high = unlike[len(unlike) // 2], unlike[len(unlike) * 95 // 100]
    pairs = [
        (row, *similarity(*(signatures[at[row[name]]] for name in ("md5_a", "md5_b"))))
        for row in labels
    ]
    refused = [pair for pair in pairs if pair[0]["same_title"] == "1" and not pair[3]]
    print(
        f"{len(refused)} pairs of one title refused; ten of them, with the share of 4-interval runs in common"
    )
    print(f"(of unlike songs: median {usual:.2f}, 95 % under {high:.2f}):")
    for row, jaccard, containment, *_ in refused[:: max(1, len(refused) // 10)][:10]:
        tune = tune_in_common(row)
        reason = (
            "no more in common than unlike songs"
            if tune <= high
            else "the tune in another arrangement"
        )
        names = f"{say(row['md5_a'], titles)} ~ {say(row['md5_b'], titles)}"
        print(f"  {jaccard:.3f} {containment:.2f} tune {tune:.2f} {reason}: {names}")


def report_nottingham(root: str) -> None:
    """Its near and exact duplicates, by title."""
    songs = read_songs("nottingham", root)
    signatures = sign(songs)
    pairs = find(songs, signatures)
    verdicts = compare(
        pairs, np.array([len(signature) for signature in signatures]), DEDUPE
    )
    for i in np.argsort(-verdicts.jaccard):
        a, b = songs[pairs.first[i]], songs[pairs.second[i]]
        word = "duplicate" if verdicts.duplicate[i] else "one group"
        print(
            f"  {word} {verdicts.jaccard[i]:.2f} {verdicts.containment[i]:.2f} {a.key} {a.title} ~ {b.key} {b.title}"
        )


if __name__ == "__main__":
    main()
