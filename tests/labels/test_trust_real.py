"""Trust on songs whose true name is known: the weights of the three counts that need no
notes found again, and judged on songs that they were not fitted on."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.chroma import chroma_fit, note_chroma, segment_chroma
from pipelines.labels.config import AffectConfig
from pipelines.labels.corroboration import ALIKE, corroborate, works_of
from pipelines.labels.join import CHROMA, NAMES, SONG_COLUMNS, join_tracks, label_songs
from pipelines.labels.matches import merge_matches, read_match_list, read_matches
from pipelines.labels.msd import read_segments
from pipelines.labels.names import TITLE, normalise, read_names, similarities
from pipelines.labels.side_files import unpacked
from pipelines.labels.tables import LABELS, prefer, read_labels
from pipelines.labels.tracks import merge_tracks
from pipelines.labels.trust import EVIDENCE, WEIGHTS, fit_counts, signals
from pipelines.sources.lpd5 import Lpd5Config, parse
from schemas.contracts import Item, Limits

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def judged(real_data) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Of each song with a known name: its counts, those of notes unknown; whether the
    matched title is right; the fold of its md5."""
    table = read_labels(
        (real_data / "msd_spotify_features.csv").read_bytes(), "features.csv"
    )
    path = real_data / "lpd_cleansed_matches.tsv.xz"
    listed = read_match_list(*unpacked(path.read_bytes(), path.name))
    names = read_names((real_data / "lmd_clean_names.tsv").read_bytes(), "names.tsv")
    joined = join_tracks(
        merge_matches([listed.matches], 0.0),
        merge_tracks([table.tracks, listed.tracks]),
        prefer([table]),
    )
    md5, n = names["md5"], len(names)
    facts = [pa.nulls(n, kind) for kind in (pa.float64(), pa.float64(), pa.uint8())]
    songs = pa.table([md5, md5, *facts], list(SONG_COLUMNS))
    # Chosen without the names, which are to judge the choice.
    matched = label_songs(
        songs,
        joined,
        LABELS.empty_table(),
        NAMES.empty_table(),
        CHROMA.empty_table(),
        AffectConfig(),
    )
    nothing = ALIKE.empty_table()
    counts = corroborate(matched, works_of(joined), nothing, nothing)
    found = dict(zip(counts.schema.names, counts.columns, strict=True))
    found |= {name: matched[name] for name in ("n_agreeing", "n_rivals")}
    unknown = ("near_other_titles", "same_title_containment")
    column = {
        name: np.full(n, np.nan) if name in unknown else values.to_numpy().astype(float)
        for name, values in found.items()
    }
    likeness = similarities(
        normalise(matched["msd_title"], TITLE).to_pylist(),
        normalise(names["title"], TITLE).to_pylist(),
    )
    fold = np.array([int(one[-1], 16) % 5 for one in md5.to_pylist()])
    assert set(column) <= set(EVIDENCE.names) and n == 621
    return column, np.array(likeness) >= 0.8, fold


def test_the_weights_of_the_counts_are_found_again(judged):
    column, right, _ = judged
    fitted = fit_counts(column, right)
    # Those of the notes stand in for a little of these where they are known.
    for name in ("agreeing", "rivals", "artist_titles"):
        assert getattr(fitted, name) == pytest.approx(
            getattr(WEIGHTS.counts, name), abs=0.2
        )
    assert fitted.middle_artist == WEIGHTS.counts.middle_artist


def test_trust_is_a_probability_on_songs_it_was_not_fitted_on(judged):
    column, right, fold = judged
    trust = np.zeros(len(right))
    for held in range(5):
        inside = fold == held
        weights = fit_counts({k: v[~inside] for k, v in column.items()}, right[~inside])
        found = signals({k: v[inside] for k, v in column.items()}, weights.middle_artist)
        odds = sum(getattr(weights, name) * values for name, values in found.items())
        trust[inside] = 1 / (1 + np.exp(-weights.prior - odds))
    # Measured with all five counts: AUC .815, ECE .042; without those of the notes .80.
    assert (trust[right][:, None] > trust[~right]).mean() > 0.77
    bands = np.minimum((trust * 10).astype(int), 9)
    gaps = [abs((trust - right)[bands == one].sum()) for one in range(10)]
    assert sum(gaps) / len(right) < 0.06
    assert right[trust >= 0.8].mean() > 0.88 and (trust >= 0.8).sum() > 120
    assert right[trust < 0.5].mean() < 0.4


def test_chroma_tells_wrong_matches_from_right_ones(real_data, lpd_root, msd_root):
    matches = merge_matches(
        [read_matches((real_data / "lpd_matched_ids.txt").read_bytes(), "ids.txt")], 0.0
    ).to_pylist()
    paths = {path.stem: path for path in sorted(msd_root.rglob("*.h5"))}
    pairs = {row["md5"]: row["track_id"] for row in matches if row["track_id"] in paths}
    audio = {
        track: segment_chroma(*read_segments(path.read_bytes()))
        for track, path in paths.items()
    }
    notes = {}
    for md5 in sorted(pairs):
        blob = (lpd_root / md5[0] / f"{md5}.npz").read_bytes()
        notes[md5] = note_chroma(
            parse(Item("lpd5", md5, (), len(blob)), (blob,), Lpd5Config(), Limits())
        )
    fits = {md5: chroma_fit(notes[md5], audio[track]) for md5, track in pairs.items()}
    rng = np.random.default_rng(0)
    others = {
        md5: [track for track in rng.choice(sorted(audio), 3) if track != pairs[md5]]
        for md5 in notes
    }
    strangers = [
        chroma_fit(notes[md5], audio[track])
        for md5, tracks in others.items()
        for track in tracks
    ]
    assert len(fits) == 43
    # All but four matches fit better than nine in ten strangers do; the two that the names
    # contradict are among the four.
    low = sorted(md5 for md5, fit in fits.items() if fit < np.quantile(strangers, 0.9))
    assert len(low) <= 5
    by_track = {track: md5 for md5, track in pairs.items()}
    assert {by_track["TRAAAZF12903CCCF6B"], by_track["TRBDGOX128F428E2B9"]} <= set(low)
