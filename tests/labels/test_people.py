"""Labels against what people say: AUC by pairs, ranks by SciPy, and tables that are given by
track."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pipelines.labels.config import AffectConfig
from pipelines.labels.own_labels import OwnLabels
from pipelines.labels.people import PEOPLE, against_people, auc, compared, rank_correlation
from pipelines.labels.side_files import read_side_files
from pipelines.labels.tables import LABELS
from pipelines.labels.thresholds import Thresholds
from schemas.settings import SettingsError

TERMS = {"license": "LGPL-3.0", "citation": "They, 2020"}


def track(number: int) -> str:
    return f"TRAAAAA{number:011X}"


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_auc_is_the_share_of_pairs(pairs: list[tuple[int, bool]]) -> None:
    ours, high = (np.array(column) for column in zip(*pairs, strict=True))
    wins = [(a > b) + (a == b) / 2 for a in ours[high] for b in ours[~high]]
    wanted = np.mean(wins) if wins else np.nan
    assert auc(ours, high) == pytest.approx(wanted, nan_ok=True)


def test_ranks_are_scipys() -> None:
    random = np.random.default_rng(0)
    one = random.integers(0, 9, 50)
    other = one + random.integers(0, 9, 50)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other)[0])


def test_intervals_hold_the_figure_and_narrow_with_tracks() -> None:
    random = np.random.default_rng(1)
    widths = []
    for n in (40, 1000):
        high = random.random(n) > 0.5
        ours = high * 0.3 + random.random(n) * 0.7
        found = compared(ours, high.astype(float), 0.5)
        low, top = found["auc_interval"]
        assert low <= found["auc"] <= top
        assert found["agreement"] == pytest.approx(((ours > 0.5) == high).mean(), abs=1e-4)
        widths.append(top - low)
    assert widths[1] < widths[0] / 3
    assert compared(ours[:5], high[:5].astype(float), 0.5) == {"n": 5}


def test_tables_meet_our_labels_by_track() -> None:
    n = 40
    values = np.linspace(0, 1, n)
    keys = ["track_id"] * n + ["md5"]
    ids = [*map(track, range(n)), "f" * 32]
    labels = pa.table(
        [keys, ids, [*values, 1.0], [*values[::-1], 1.0], ["t"] * (n + 1)], LABELS
    )
    said = [("mood", track(i), float(i > 20), None) for i in range(10, n + 30)]
    said += [("numbers", track(i), -float(i), float(i)) for i in range(n)]
    people = pa.Table.from_pylist(
        [dict(zip(PEOPLE.names, row, strict=True)) for row in said], PEOPLE
    )
    report = against_people(labels, people, Thresholds(0.5, 0.5, 0, "fixed", n))
    assert report["mood"].keys() == {"valence"}
    assert report["mood"]["valence"]["n"] == n - 10
    assert report["mood"]["valence"]["auc"] == 1
    assert report["numbers"]["valence"]["rank_correlation"] == -1
    assert report["numbers"]["arousal"]["rank_correlation"] == -1
    assert against_people(labels, PEOPLE.empty_table(), None) == {}


def test_lists_of_moods_are_read_by_track(tmp_path: Any) -> None:
    path = tmp_path / "moods.csv"
    path.write_text(
        f"No;File;Artist;Title;Mood\n0;{track(1)}.h5;A;B;happy\n1;{track(2)}.h5;C;D;sad\n2;x;E;F;sad"
    )
    table = OwnLabels(
        **TERMS,
        table=str(path),
        columns={"track_id": "File", "emotion": "Mood"},
        emotions={"happy": "happy", "sad": "sad"},
        axes=("valence",),
    )
    tables, pins = read_side_files(AffectConfig(people={"moods": table}))
    assert [pin.name for pin in pins] == ["moods.csv"]
    assert tables["people"].to_pylist() == [
        {"table": "moods", "id": track(1), "valence": 1.0, "arousal": None},
        {"table": "moods", "id": track(2), "valence": 0.0, "arousal": None},
    ]
    assert len(tables["refused"]) == 1 and not len(tables["labels"])
    path.write_text("file,valence,arousal\na,1,1")
    with pytest.raises(SettingsError, match="lacks a column track_id"):
        read_side_files(AffectConfig(people={"moods": OwnLabels(**TERMS, table=str(path))}))
