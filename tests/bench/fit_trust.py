"""The weights of the five counts of label_trust, fitted on songs whose true name is known,
and what they are worth on songs that they were not fitted on.

    python tests/bench/fit_trust.py --corpus out/real --data ../shared/data [--plot FILE.svg]

--corpus: a build of the real LPD-5 (for its signatures); --data: folder with
msd_spotify_features.csv, lmd_clean_names.tsv and lpd_cleansed_matches.tsv.xz, the whole
match list, in which artists' titles are counted.

Matches are chosen without the names, which then judge them: right is a title at least .8
alike. Cross-validation in FOLDS folds and ROUNDS rounds; songs that share a true or a
matched title, or are near-duplicates, stand in one fold. Intervals hold 95 % of what as
many such groups drawn with replacement give. Recall of right at precision .9: the share of
right titles in the longest list from the top of which 90 % are right; of wrong at .8:
likewise from the bottom. ECE: over ten bins of equal width.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.dedupe.candidates import DedupeConfig
from pipelines.dedupe.clusters import components, shared_shingles, similar_pairs
from pipelines.labels.config import AffectConfig
from pipelines.labels.corroboration import (
    ALIKE,
    contained,
    corroborate,
    of_one_title,
    works_of,
)
from pipelines.labels.join import NAMES, SONG_COLUMNS, join_tracks, label_songs
from pipelines.labels.matches import merge_matches, read_match_list
from pipelines.labels.names import TITLE, normalise, read_names, similarities
from pipelines.labels.side_files import unpacked
from pipelines.labels.tables import LABELS, prefer, read_labels
from pipelines.labels.tracks import merge_tracks
from pipelines.labels.trust import (
    LISTED,
    SAME_NAME,
    CountWeights,
    fit_counts,
    signals,
)

FOLDS, ROUNDS, DRAWS, BINS = 10, 3, 1000, 10
BANDS = ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01))
COUNTED = (
    "n_agreeing",
    "n_rivals",
    "artist_titles",
    "n_listed",
    "near_other_titles",
    "same_title_containment",
)
Columns = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--plot", help="where to draw the reliability, any form")
    args = parser.parse_args()
    column, right, artist, refused, group = read_named(Path(args.corpus), Path(args.data))
    print(
        f"{len(right)} named songs with a match, title right {right.mean():.3f},", end=" "
    )
    print(f"artist too {artist.mean():.3f}; {group.max() + 1} groups")
    fitted = fit_counts(column, right)
    print(f"\nfitted on all: {fitted}\n")
    trusts = [
        cross_fitted(column, right, group, seed, asdict(fitted)) for seed in range(ROUNDS)
    ]
    few = [
        cross_fitted(column, right, group, seed, ("prior", "agreeing", "rivals"))
        for seed in range(ROUNDS)
    ]
    print_figures("all five counts", trusts, right, group)
    print_figures("agreeing and rivals alone", few, right, group)
    trust = np.mean(trusts, axis=0)
    print_bands(trust, right, artist)
    rescued = refused & (trust >= 0.8)
    print(
        f"\ntitles differ: {refused.sum()} songs, {rescued.sum()} trusted from .8, "
        f"{right[rescued].sum()} of them right"
    )
    print_shorter_lists(column, right, fitted, Path(args.data))
    if args.plot:
        draw_reliability(trust, right, args.plot)


def read_named(
    corpus: Path, data: Path
) -> tuple[Columns, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of named songs with a match: the counts; whether the title is right, and the artist
    too; whether titles differ; and the group."""
    lists, labels = read_lists(data)
    names = read_names(
        (data / "lmd_clean_names.tsv").read_bytes(), "lmd_clean_names.tsv"
    ).cast(NAMES)
    joined = join_tracks(
        merge_matches([lists.matches], 0.0),
        merge_tracks([labels.tracks, lists.tracks]),
        prefer([labels]),
    )
    songs, signatures = read_songs(corpus)
    # Chosen without the names, which are to judge the choice.
    matched = label_songs(
        songs,
        joined,
        LABELS.empty_table(),
        NAMES.empty_table(),
        pa.table({"md5": [], "track_id": [], "chroma": []}).cast(
            pa.schema(
                [("md5", pa.string()), ("track_id", pa.string()), ("chroma", pa.float64())]
            )
        ),
        AffectConfig(),
    )
    near, alike = compared(matched, signatures)
    counts = corroborate(matched, works_of(joined), near, alike)
    table = pa.table(
        [*matched.columns, *counts.columns], [*matched.schema.names, *counts.schema.names]
    )
    true = names.take(pc.index_in(songs["md5"], names["md5"].combine_chunks()))
    known = pc.and_(pc.is_valid(true["title"]), pc.is_valid(table["msd_track_id"]))
    likeness = [
        similarities(
            normalise(table[f"msd_{part}"], part).to_pylist(),
            normalise(true[part], part).to_pylist(),
        )
        for part in ("title", "artist")
    ]
    same = [
        np.array([like is not None and like >= SAME_NAME for like in one])
        for one in likeness
    ]
    rows = np.flatnonzero(known.to_numpy(zero_copy_only=False))
    group = grouped(table, true, near)[rows]
    refused = np.array([why == "titles differ" for why in table["unlabelled"].to_pylist()])
    column = {name: table[name].cast(pa.float64()).to_numpy()[rows] for name in COUNTED}
    group = np.unique(group, return_inverse=True)[1]
    return column, same[0][rows], (same[0] & same[1])[rows], refused[rows], group


def read_lists(data: Path):
    """The whole match list, and the label table."""
    path = data / "lpd_cleansed_matches.tsv.xz"
    lists = read_match_list(*unpacked(path.read_bytes(), path.name))
    labels = data / "msd_spotify_features.csv"
    return lists, read_labels(labels.read_bytes(), labels.name)


def read_songs(corpus: Path) -> tuple[pa.Table, list[np.ndarray]]:
    """The LPD songs of a build (SONG_COLUMNS, facts left out) and their shingles."""
    table = pa.concat_tables(
        pq.read_table(path) for path in sorted((corpus / "signatures").glob("*.parquet"))
    ).sort_by("song_id")
    table = table.filter(pc.starts_with(table["song_id"], "lpd5:"))
    md5 = [name.removeprefix("lpd5:") for name in table["song_id"].to_pylist()]
    n = len(table)
    facts = [pa.nulls(n, pa.float64()), pa.nulls(n, pa.float64()), pa.nulls(n, pa.uint8())]
    songs = pa.table([table["song_id"], md5, *facts], list(SONG_COLUMNS))
    return songs, [np.array(one, np.uint64) for one in table["shingles"].to_pylist()]


def compared(matched: pa.Table, signatures: list[np.ndarray]) -> tuple[pa.Table, pa.Table]:
    """Near-duplicates (a, b), and ALIKE of songs of one title."""
    config, ids = DedupeConfig(), matched["song_id"]
    pairs, _ = similar_pairs(signatures, config)
    near = pa.table({"a": ids.take(pairs.first), "b": ids.take(pairs.second)})
    rows = np.arange(len(ids))
    titles = of_one_title(rows, normalise(matched["msd_title"], TITLE).combine_chunks())
    titles.shared[:] = shared_shingles(titles.first, titles.second, signatures)
    sizes = np.array([len(one) for one in signatures])
    share = contained(titles, sizes, config.min_shared)
    alike = pa.table([ids.take(titles.first), ids.take(titles.second), share], ALIKE)
    return near, alike


def grouped(table: pa.Table, true: pa.Table, near: pa.Table) -> np.ndarray:
    """The group of each song: those of one true or matched title, and near-duplicates."""
    n = len(table)
    titles = [
        *normalise(table["msd_title"], TITLE).to_pylist(),
        *normalise(true["title"], TITLE).to_pylist(),
    ]
    said = [title or f"none {row}" for row, title in enumerate(titles)]
    code = np.unique(said, return_inverse=True)[1]
    ids = table["song_id"].combine_chunks()
    ends = [pc.index_in(near[side], ids).to_numpy() for side in ("a", "b")]
    song = np.tile(np.arange(n), 2)
    first, second = np.append(song, ends[0]), np.append(code + n, ends[1])
    return components(n + int(code.max()) + 1, first, second)[:n]


def cross_fitted(
    column: Columns, right: np.ndarray, group: np.ndarray, seed: int, used
) -> np.ndarray:
    """Trust of each song by weights that were fitted without its fold; `used` are counted."""
    rng = np.random.default_rng(seed)
    fold = rng.permutation(group.max() + 1)[group] % FOLDS
    trust = np.zeros(len(right))
    blank = {
        name: column[name] if of in used else np.zeros(len(right))
        for of, name in zip(
            (
                "agreeing",
                "rivals",
                "artist_titles",
                "artist_titles",
                "near_other_titles",
                "same_title",
            ),
            COUNTED,
            strict=True,
        )
    }
    for held in range(FOLDS):
        inside = fold == held
        weights = fit_counts({k: v[~inside] for k, v in blank.items()}, right[~inside])
        trust[inside] = trusted({k: v[inside] for k, v in blank.items()}, weights)
    return trust


def trusted(column: Columns, weights: CountWeights) -> np.ndarray:
    """label_trust of the counts alone."""
    odds = weights.prior + sum(
        getattr(weights, name) * values
        for name, values in signals(column, weights.middle_artist).items()
    )
    return 1 / (1 + np.exp(-odds))


def print_figures(
    said: str, trusts: list[np.ndarray], right: np.ndarray, group: np.ndarray
) -> None:
    measures = {
        "AUC": auc,
        "recall of right at precision .9": lambda t, y: recall_at(t, y, 0.9),
        "recall of wrong at precision .8": lambda t, y: recall_at(-t, ~y, 0.8),
        "ECE": ece,
        "Brier": lambda t, y: float(((t - y) ** 2).mean()),
    }
    print(said)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(group == one) for one in range(group.max() + 1)]
    draws = [
        np.concatenate(
            [members[one] for one in rng.integers(len(members), size=len(members))]
        )
        for _ in range(DRAWS)
    ]
    for name, measure in measures.items():
        value = np.mean([measure(trust, right) for trust in trusts])
        low, high = np.quantile(
            [measure(trusts[0][rows], right[rows]) for rows in draws], (0.025, 0.975)
        )
        print(f"   {name:32s} {value:.3f} ({low:.3f} to {high:.3f})")


def auc(trust: np.ndarray, right: np.ndarray) -> float:
    """How often a right title is trusted more than a wrong one, ties half."""
    wrong = np.sort(trust[~right])
    under = np.searchsorted(wrong, trust[right], "left")
    under = under + np.searchsorted(wrong, trust[right], "right")
    return float(under.mean() / (2 * max(len(wrong), 1)))


def recall_at(trust: np.ndarray, wanted: np.ndarray, precision: float) -> float:
    """The share of the wanted in the longest list from the top that is precise enough."""
    hits = np.cumsum(wanted[np.argsort(-trust, kind="stable")])
    enough = np.flatnonzero(hits / np.arange(1, len(hits) + 1) >= precision)
    return float(hits[enough[-1]] / max(wanted.sum(), 1)) if len(enough) else 0.0


def ece(trust: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((trust * BINS).astype(int), BINS - 1)
    gaps = [abs(trust[bins == one].sum() - right[bins == one].sum()) for one in range(BINS)]
    return float(sum(gaps) / len(right))


def print_bands(trust: np.ndarray, right: np.ndarray, artist: np.ndarray) -> None:
    print("\ntrust, cross-fitted   songs  title right  artist too")
    for low, high in BANDS:
        rows = (trust >= low) & (trust < high)
        print(
            f"   {low:.1f} to {min(high, 1):.1f} {rows.sum():14d}  {right[rows].mean():11.3f}  {artist[rows].mean():10.3f}"
        )


def print_shorter_lists(
    column: Columns, right: np.ndarray, fitted: CountWeights, data: Path
) -> None:
    """Calibration of the fitted weights where artists are counted in a part of the list,
    with and without the correction for its length. A title that the whole list counts is
    taken to stay in a part with the part's share."""
    print("\ncounted in a part of the list (drawn): AUC, ECE corrected, ECE as counted")
    rng = np.random.default_rng(0)
    for share in (1.0, 0.6, 0.4, 0.29):
        found = np.nan_to_num(column["artist_titles"] - 1, nan=0).astype(int)
        fewer = {
            **column,
            "artist_titles": 1.0 + rng.binomial(np.maximum(found, 0), share),
            "n_listed": column["n_listed"] * share,
        }
        with_length = trusted(fewer, fitted)
        without = trusted({**fewer, "n_listed": np.full(len(right), float(LISTED))}, fitted)
        print(
            f"   {share:.2f}  {auc(with_length, right):.3f}  {ece(with_length, right):.3f}  {ece(without, right):.3f}"
        )


def draw_reliability(trust: np.ndarray, right: np.ndarray, path: str) -> None:
    import matplotlib.pyplot as plt

    bins = np.minimum((trust * BINS).astype(int), BINS - 1)
    there = [one for one in range(BINS) if (bins == one).any()]
    x = [trust[bins == one].mean() for one in there]
    y = np.array([right[bins == one].mean() for one in there])
    n = np.array([(bins == one).sum() for one in there])
    figure, axes = plt.subplots(figsize=(4, 4))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.errorbar(x, y, 1.96 * np.sqrt(y * (1 - y) / n), fmt="o")
    axes.set(xlabel="label_trust, cross-fitted", ylabel="share of titles that are right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
