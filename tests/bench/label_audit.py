"""What label_trust is worth: matches against true names and against strangers' audio, and
labels against the music.

    python tests/bench/label_audit.py --corpus out/real --data ../shared/data --msd FOLDER

--corpus: a build of the real LPD-5; --data: folder with lpd_matched_ids.txt,
msd_spotify_features.csv and lmd_clean_names.tsv; --msd: MSD's HDF5 files, for tempo,
duration, key and chroma of the tracks that have one.

1. Songs whose true name is known. Matches are chosen and trusted without the names, which
   then judge them. The weights of the counts were fitted on these songs: fit_trust.py says
   what they are worth on others, and with the counts that need notes, unknown here.
2. Songs whose matched track has an HDF5 file: each with its own track, and with the tracks
   of the others, which are wrong for sure where they bear another title. All matches count
   alone (no further match agrees or rivals), so that the file's own evidence shows. Its
   weights were set on these very songs. The own matches are not all right either.
3. How well the class of a label (above the median or not) is foretold from simple features
   of the notes, by trust: a logistic regression, cross-validated by the groups of the
   splits, so that no version of a song stands on both sides. The folds are shuffled anew in
   each round, and a song's foretelling is the mean of the rounds. The intervals hold 95 %
   of the balanced accuracies of as many groups drawn with replacement.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.labels.chroma import chroma_fit, note_chroma, segment_chroma
from pipelines.labels.config import AffectConfig
from pipelines.labels.join import CHROMA, NAMES, SONG_COLUMNS, Inputs, join_all
from pipelines.labels.matches import MATCHES, merge_matches, read_matches
from pipelines.labels.msd import read_segments, read_tracks
from pipelines.labels.names import ARTIST, TITLE, normalise, read_names, similarities
from pipelines.labels.tables import prefer, read_labels
from pipelines.labels.tracks import TRACKS, merge_tracks
from pipelines.labels.trust import SAME_NAME
from schemas.columns import STATISTICS
from schemas.row import from_row, rows_of

NOTES = (
    "title",
    "artist",
    "genre",
    "note_",
    "bar_",
    "tempo_",
    "meter_source",
    "source",
    "song_id",
    "folder_track_ids",
)
FEATURES = (
    "tempo", "notes a second", "notes a bar", "mean velocity", "minor", "minor share of bars", "bars without key",
    "mean pitch", "mean duration, quarters", "share of notes that are drums", "share of notes that are bass", "tracks",
)  # fmt: skip
FROM, BANDS, FOLDS, ROUNDS, DRAWS = (
    (0.5, 0.6, 0.7, 0.8, 0.9),
    ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01)),
    5,
    10,
    1000,
)


@dataclass(frozen=True, eq=False)
class Corpus:
    """songs: STATISTICS, md5 and group of each LPD song; features: (n, len(FEATURES));
    inputs: without chroma and names."""

    songs: pa.Table
    features: np.ndarray
    inputs: Inputs
    names: pa.Table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--msd", required=True)
    args = parser.parse_args()
    corpus = read_corpus(Path(args.corpus), Path(args.data))
    heard, audio = read_audio(Path(args.msd), corpus.inputs.matches)
    notes = read_notes(Path(args.corpus), set(heard))
    tracks = merge_tracks(
        [read_tracks(path.read_bytes()) for path in sorted(Path(args.msd).rglob("*.h5"))]
    )
    fits = [
        chroma_fit(notes[md5], audio[track])
        for md5, tracks_of in heard.items()
        for track in tracks_of
    ]
    pairs = [(md5, track) for md5, tracks_of in heard.items() for track in tracks_of]
    chroma = pa.table(
        [[md5 for md5, _ in pairs], [track for _, track in pairs], fits], CHROMA
    )
    known = Inputs(
        corpus.inputs.matches,
        merge_tracks([tracks, corpus.inputs.tracks]),
        corpus.inputs.labels,
    )
    ways = {
        "matches alone": corpus.inputs,
        "+ duration, tempo, key": known,
        "+ chroma": Inputs(known.matches, known.tracks, known.labels, chroma=chroma),
    }
    report_names(corpus, ways, set(heard))
    report_strangers(corpus, tracks, heard, notes, audio)
    best = ways["+ chroma"]
    for said, names in (
        ("names left out", NAMES.empty_table()),
        ("names used", corpus.names),
    ):
        labelled = join_all(
            corpus.songs.select(SONG_COLUMNS),
            Inputs(best.matches, best.tracks, best.labels, names, best.chroma),
            AffectConfig(),
        )
        report_foretelling(said, labelled, corpus)


def read_corpus(corpus: Path, data: Path) -> Corpus:
    """The LPD songs of a build, and the side files."""
    columns = [*STATISTICS, "key", "note_pitch", "note_duration"]
    paths = sorted((corpus / "songs").glob("*.parquet"))
    songs = pa.concat_tables(
        pq.read_table(path, columns=columns, filters=[("source", "=", "lpd5")])
        for path in paths
    )
    catalog = pa.concat_tables(
        pq.read_table(path, columns=["song_id", "group_id"])
        for path in sorted((corpus / "catalog").glob("*.parquet"))
    )
    group = catalog["group_id"].take(
        pc.index_in(songs["song_id"], catalog["song_id"].combine_chunks())
    )
    features = np.array([features_of(row) for row in rows_of(songs)])
    songs = (
        songs.select(STATISTICS)
        .append_column("md5", songs["source_key"])
        .append_column("group", group)
    )
    table = read_labels(
        (data / "msd_spotify_features.csv").read_bytes(), "msd_spotify_features.csv"
    )
    matches = merge_matches(
        [read_matches((data / "lpd_matched_ids.txt").read_bytes(), "lpd_matched_ids.txt")],
        0.0,
    )
    names = read_names(
        (data / "lmd_clean_names.tsv").read_bytes(), "lmd_clean_names.tsv"
    ).cast(NAMES)
    inputs = Inputs(matches.cast(MATCHES), merge_tracks([table.tracks]), prefer([table]))
    n_matched = pc.sum(pc.is_in(songs["md5"], matches["md5"].combine_chunks())).as_py()
    n_named = pc.sum(pc.is_in(songs["md5"], names["md5"].combine_chunks())).as_py()
    print(
        f"{songs.num_rows:,} songs, {n_matched:,} with a match, {n_named:,} with a known name"
    )
    return Corpus(songs, features, inputs, names)


def features_of(row: dict) -> list[float]:
    """FEATURES of a song, from its row."""
    key, counts = row["key"], row["track_notes"]
    sounding, minor = max((key < 24).sum(), 1), (key >= 12) & (key < 24)
    total = max(int(counts.sum()), 1)
    return [
        row["mean_bpm"], row["n_notes"] / max(row["seconds"], 1.0), row["n_notes"] / max(row["n_bars"], 1),
        float(counts @ row["track_velocities"]) / total, float(12 <= row["song_key"] < 24), minor.sum() / sounding,
        (key >= 24).mean(), row["note_pitch"].mean(), row["note_duration"].mean() / 24, counts[0] / total, counts[3] / total,
        float((counts > 0).sum()),
    ]  # fmt: skip


def read_audio(
    folder: Path, matches: pa.Table
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """The matched tracks that have a file, by md5; and the chroma of their audio, by
    track."""
    paths = {path.stem: path for path in sorted(folder.rglob("*.h5"))}
    heard: dict[str, list[str]] = {}
    for row in matches.to_pylist():
        if row["track_id"] in paths:
            heard.setdefault(row["md5"], []).append(row["track_id"])
    audio = {
        track: segment_chroma(*read_segments(paths[track].read_bytes()))
        for tracks in heard.values()
        for track in tracks
    }
    return heard, audio


def read_notes(corpus: Path, md5s: set[str]) -> dict[str, np.ndarray]:
    """Chroma of the notes of some songs, by md5."""
    notes = {}
    for path in sorted((corpus / "songs").glob("*.parquet")):
        columns = [name for name in pq.read_schema(path).names if name.startswith(NOTES)]
        for row in rows_of(
            pq.read_table(
                path, columns=columns, filters=[("source_key", "in", sorted(md5s))]
            )
        ):
            notes[row["source_key"]] = note_chroma(from_row(row))
    return notes


def report_names(corpus: Corpus, ways: dict[str, Inputs], heard: set[str]) -> None:
    """Precision and recall of trust on songs whose true name is known."""
    known = pc.and_(
        pc.is_in(corpus.songs["md5"], corpus.names["md5"].combine_chunks()),
        pc.is_in(corpus.songs["md5"], corpus.inputs.matches["md5"].combine_chunks()),
    )
    songs = corpus.songs.filter(known)
    md5s = songs["md5"].to_pylist()
    with_audio = np.array([md5 in heard for md5 in md5s])
    for said, rows, tried in (
        ("all", np.ones(len(md5s), bool), ["matches alone"]),
        ("those of them all that have an HDF5 file", with_audio, list(ways)),
    ):
        for way in tried:
            labelled = join_all(songs.select(SONG_COLUMNS), ways[way], AffectConfig())
            title, both = is_right(labelled, songs["md5"], ways[way].tracks, corpus.names)
            trust = labelled["label_trust"].to_numpy()
            trusted = labelled["trusted"].to_numpy(zero_copy_only=False).astype(bool)
            print(f"\n1. known names, {said}; {way}:")
            print(
                f"   {rows.sum()} songs, title right {title[rows].sum()}, artist too {both[rows].sum()}"
            )
            print(
                f"   {'taken':22s} songs  precision  recall   artist too: precision  recall"
            )
            print_taken("trusted (and labelled)", trusted[rows], title[rows], both[rows])
            for low in FROM:
                print_taken(
                    f"label_trust from {low}", (trust >= low)[rows], title[rows], both[rows]
                )
            under = (trust < 0.5) & rows
            print(
                f"   label_trust under 0.5: {under.sum()} songs, {share(~title, under)} of them wrong"
            )


def is_right(
    labelled: pa.Table, md5: pa.ChunkedArray, tracks: pa.Table, names: pa.Table
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each song's matched track bears its true title, and its artist too."""
    track = tracks.take(
        pc.index_in(labelled["msd_track_id"], tracks["track_id"].combine_chunks())
    )
    true = names.take(pc.index_in(md5, names["md5"].combine_chunks()))
    same = []
    for part in (TITLE, ARTIST):
        likeness = similarities(
            normalise(track[part], part).to_pylist(),
            normalise(true[part], part).to_pylist(),
        )
        same.append(
            np.array([value is not None and value >= SAME_NAME for value in likeness])
        )
    return same[0], same[0] & same[1]


def print_taken(said: str, taken: np.ndarray, title: np.ndarray, both: np.ndarray) -> None:
    cells = [
        share(title, taken),
        share(taken, title),
        share(both, taken),
        share(taken, both),
    ]
    print(
        f"   {said:22s} {taken.sum():5d}  {cells[0]:>9s}  {cells[1]:>6s}  {cells[2]:>21s}  {cells[3]:>6s}"
    )


def share(what: np.ndarray, among: np.ndarray) -> str:
    return f"{what[among].mean():.3f}" if among.any() else "-"


def report_strangers(
    corpus: Corpus,
    tracks: pa.Table,
    heard: dict[str, list[str]],
    notes: dict[str, np.ndarray],
    audio: dict[str, np.ndarray],
) -> None:
    """Trust of own matches and of strangers' tracks, with and without the evidence of
    the HDF5 files."""
    own = [(md5, track) for md5, found in heard.items() for track in found]
    titles = dict(
        zip(
            tracks["track_id"].to_pylist(),
            normalise(tracks["title"], TITLE).to_pylist(),
            strict=True,
        )
    )
    audible = sorted(audio)
    strangers = [
        (md5, track)
        for md5, found in heard.items()
        for track in audible
        if titles[track] not in {titles[t] for t in found}
    ]
    fits = {pair: chroma_fit(notes[pair[0]], audio[pair[1]]) for pair in (*own, *strangers)}
    names = dict(
        zip(corpus.names["md5"].to_pylist(), corpus.names["title"].to_pylist(), strict=True)
    )
    told = similarities(
        [titles[track] for _, track in own],
        [
            normalise(pa.array([names[md5]]), TITLE)[0].as_py() if md5 in names else None
            for md5, _ in own
        ],
    )
    wrong = [
        pair
        for pair, likeness in zip(own, told, strict=True)
        if likeness is not None and likeness < SAME_NAME
    ]
    n_named = sum(likeness is not None for likeness in told)
    print(
        f"\n2. {len(heard)} songs with the audio of a match, {len(own)} own pairs, {len(strangers)} with a stranger's track;"
    )
    print(f"   {n_named} own pairs have a known name, {len(wrong)} of these another title")
    bare = TRACKS.empty_table()
    ways = {
        "no evidence": (bare, False), "duration, tempo, key": (tracks, False), "chroma": (bare, True), "all": (tracks, True),
    }  # fmt: skip
    print(
        "   own: share taken (recall); strangers: share taken; precision: own among taken, were both as many;"
    )
    print(
        "   ROC area: own over stranger; names: own pairs with another title than the true one that are taken"
    )
    print(f"   {'evidence':22s} trust from    own  strangers  precision  ROC area  names")
    for said, (known, with_chroma) in ways.items():
        everyone = [*own, *strangers]
        trusts = pair_trust(corpus, everyone, known, fits if with_chroma else {})
        trust = dict(zip(everyone, trusts, strict=True))
        mine, theirs = (
            np.array([trust[pair] for pair in own]),
            np.array([trust[pair] for pair in strangers]),
        )
        area = ((mine[:, None] > theirs).mean() + (mine[:, None] >= theirs).mean()) / 2
        for low in (0.5, 0.8):
            kept, slipped = (mine >= low).mean(), (theirs >= low).mean()
            precision = f"{kept / (kept + slipped):.3f}" if kept + slipped else "-"
            missed = sum(trust[pair] >= low for pair in wrong)
            print(
                f"   {said:22s} {low:10.1f}  {kept:.3f}  {slipped:9.3f}  {precision:>9s}  {area:8.3f}  {missed} of {len(wrong)}"
            )


def pair_trust(
    corpus: Corpus,
    pairs: Sequence[tuple[str, str]],
    tracks: pa.Table,
    fits: dict[tuple[str, str], float],
) -> list[float]:
    """label_trust of each (md5, track) as if it were the only match of its song."""
    at = {md5: row for row, md5 in enumerate(corpus.songs["md5"].to_pylist())}
    # Each pair is a song of its own, so that no match sees another.
    alone = [f"{number:032x}" for number in range(len(pairs))]
    songs = corpus.songs.take([at[md5] for md5, _ in pairs])
    songs = songs.set_column(
        songs.column_names.index("md5"), "md5", pa.array(alone)
    ).select(SONG_COLUMNS)
    ids = [track for _, track in pairs]
    matches = pa.table(
        [alone, ids, pa.nulls(len(pairs), MATCHES.field("score").type)], MATCHES
    )
    chroma = CHROMA.empty_table()
    if fits:
        chroma = pa.table([alone, ids, [fits[pair] for pair in pairs]], CHROMA)
    return join_all(songs, Inputs(matches, tracks, chroma=chroma), AffectConfig())[
        "label_trust"
    ].to_pylist()


def report_foretelling(said: str, labelled: pa.Table, corpus: Corpus) -> None:
    """Cross-validated balanced accuracy of both classes, by trust of the label."""
    has = pc.is_valid(labelled["valence"]).to_numpy()
    x, trust = corpus.features[has], labelled["label_trust"].to_numpy()[has]
    groups = np.unique(
        corpus.songs["group"].filter(pa.array(has)).to_pylist(), return_inverse=True
    )[1]
    trusted = trust >= BANDS[-1][0]
    print(f"\n3. {said}: {has.sum():,} labelled songs in {groups.max() + 1:,} groups;")
    print(f"   balanced accuracy, {ROUNDS} rounds of {FOLDS} folds")
    print(f"   {'trust':10s} {'songs':>5s}  valence                arousal")
    for taught, of in (
        ("taught by all", np.ones(len(x), bool)),
        ("taught by trusted alone", trusted),
    ):
        foretold = {
            axis: foretell(x, above(labelled[axis], has), groups, of)
            for axis in ("valence", "arousal")
        }
        print(f"   {taught}:")
        for low, high in (*BANDS, (0.0, 1.01)):
            band = (trust >= low) & (trust < high)
            if not band.any():
                continue
            cells = [
                accuracy(above(labelled[axis], has), foretold[axis], groups, band)
                for axis in ("valence", "arousal")
            ]
            name = (
                "all" if (low, high) == (0.0, 1.01) else f"{low:.1f}-{min(high, 1.0):.1f}"
            )
            print(f"   {name:10s} {band.sum():5d}  {cells[0]}  {cells[1]}")


def above(values: pa.ChunkedArray, has: np.ndarray) -> np.ndarray:
    """Whether each label lies above the median of all."""
    known = values.to_numpy()[has]
    return known > np.median(known)


def foretell(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, teaching: np.ndarray
) -> np.ndarray:
    """Out-of-fold probabilities that a label is above the median, the mean of the
    rounds; taught by the rows `teaching`."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    total = np.zeros(len(y))
    for seed in range(ROUNDS):
        for train, held in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(
            x, y, groups
        ):
            rows = train[teaching[train]]
            total[held] += model.fit(x[rows], y[rows]).predict_proba(x[held])[:, 1]
    return total / ROUNDS


def accuracy(
    y: np.ndarray, foretold: np.ndarray, groups: np.ndarray, band: np.ndarray
) -> str:
    """Balanced accuracy in a band, with the interval of groups drawn again."""
    y, taken, groups = (
        y[band],
        foretold[band] > 0.5,
        np.unique(groups[band], return_inverse=True)[1],
    )
    rng, n_groups = np.random.default_rng(0), groups.max() + 1
    # Hits and songs of each class by group: a draw is a sum over groups.
    hits, songs = (
        np.stack(
            [np.bincount(groups, weights=count, minlength=n_groups) for count in counts]
        )
        for counts in ([(taken & y), (~taken & ~y)], [y, ~y])
    )
    draws = []
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
        draws.append(np.mean(hits @ times / np.maximum(songs @ times, 1)))
    low, high = np.quantile(draws, (0.025, 0.975))
    return f"{balanced_accuracy_score(y, taken):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
