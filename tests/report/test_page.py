"""page: one file that asks for nothing else, says what the data says, and is the same every
time."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.features.key import estimate as key
from pipelines.features.key.settings import KeyConfig
from pipelines.report import aggregates as facts
from pipelines.report.page import page
from pipelines.report.piano_rolls import choose, key_track
from pipelines.report.plots import TOKENS_OF_A_BAR
from schemas import mock
from schemas.grid import quantise
from schemas.settings import public

SECTIONS = ["waterfall", "labels", "songs", "premise", "keys", "rolls", "rejects"]
# Of one source: a waterfall, four of labels, four of sizes, four of the premise, three more
# and six songs.
N_FIGURES = 22


def read(release: Path) -> dict[str, Any]:
    return json.loads((release / "manifest.json").read_text())


def rows_of(build: Path) -> list[dict[str, Any]]:
    manifest = read(build / "release")
    return [
        row
        for shard in manifest["shards"]
        for row in pq.read_table(build / "release" / shard["path"]).to_pylist()
    ]


@pytest.fixture(scope="module")
def report(labelled: Path) -> str:
    return page(str(labelled / "release"), read(labelled / "release"), str(labelled))


def figures(report: str) -> dict[str, str]:
    """Captions by heading."""
    found = re.findall(
        r"<figure>\s*<h3>(.*?)</h3>.*?<figcaption>(.*?)</figcaption>", report, re.DOTALL
    )
    return dict(found)


def test_it_loads_nothing(report: str) -> None:
    asked = re.findall(
        r"(?:src|href|data|action|poster)\s*=\s*[\"']([^\"']*)|url\(\s*[\"']?([^)\"']*)",
        report,
    )
    addresses = [one or other for one, other in asked]
    assert addresses and all(
        address.startswith(("#", "data:image/png;base64,")) for address in addresses
    )
    assert not re.search(
        r"<(script|link|iframe|object|embed|img)\b|@import|@font-face", report
    )
    assert 'name="viewport"' in report


def test_every_section_and_every_figure_says_something(report: str) -> None:
    assert re.findall(r'<section id="(\w+)"', report) == SECTIONS
    assert all(f'href="#{name}"' in report for name in SECTIONS)
    captions = figures(report)
    assert len(captions) == report.count("<figure>") == N_FIGURES
    assert [says for says in captions.values() if not re.search(r"\d.*\.$", says)] == []
    assert report.count("<svg") >= N_FIGURES - 2


def test_drawings_are_sound_and_their_ids_their_own(report: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', report)
    assert [name for name, times in Counter(ids).items() if times > 1] == []
    pointed = set(re.findall(r'href="#([^"]+)"', report)) | set(
        re.findall(r"url\(#([^)]+)\)", report)
    )
    assert pointed <= set(ids)
    for svg in re.findall(r"<svg.*?</svg>", report, re.DOTALL):
        ElementTree.fromstring(svg)
        assert "aria-label" in svg and "viewBox" in svg and "<metadata>" not in svg


def test_sentences_have_the_data_s_numbers(labelled: Path, report: str) -> None:
    manifest, rows, says = read(labelled / "release"), rows_of(labelled), figures(report)
    fall = manifest["waterfall"]["lpd5"]
    assert says["lpd5"].startswith(f"{fall['kept']} of {fall['in']} songs are kept")
    tokens = np.concatenate([np.diff(row["remi_bar_offset"]) for row in rows])
    assert (
        f"{(tokens > TOKENS_OF_A_BAR).mean():.1%} of {len(tokens):,} bars"
        in says["REMI tokens a bar"]
    )
    assert f"all together {sum(row['n_notes'] for row in rows):,}." in says["Notes a song"]
    counts = Counter(row["quadrant"] for row in rows if row["quadrant"])
    assert all(f">{name} {n}</text>" in report for name, n in counts.items())
    labelled_rows = [row for row in rows if row["arousal_class"] is not None]
    high = [
        sum(row["rhythm_onsets"]) / row["n_bars"]
        for row in labelled_rows
        if row["arousal_class"] == 1
    ]
    low = [
        sum(row["rhythm_onsets"]) / row["n_bars"]
        for row in labelled_rows
        if row["arousal_class"] == 0
    ]
    pairs = [(one > other) + 0.5 * (one == other) for one in high for other in low]
    assert f"denser in {np.mean(pairs):.0%} of cases" in says["Notes a bar, by arousal"]
    minor = [
        row["song_key"] >= 12
        for row in rows
        if row["valence_class"] == 0 and row["song_key"] < 24
    ]
    assert says["Minor keys, by valence"].startswith(
        f"{np.mean(minor):.1%} of the songs of low valence"
    )


def test_rejects_have_reasons_and_examples(report: str) -> None:
    assert re.search(r"too few bars <span>4 songs, at curate", report)
    assert report.count(f"<code>lpd5:{'f' * 31}") == 3


def test_a_release_without_labels_and_rejects_has_every_section(
    unlabelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read(unlabelled / "release")
    few = facts.sampled_shards(manifest["shards"], 1)
    monkeypatch.setattr(facts, "sampled_shards", lambda shards: few)
    bare = page(str(unlabelled / "release"), manifest, None)
    assert re.findall(r'<section id="(\w+)"', bare) == SECTIONS
    says = figures(bare)
    assert (
        says["Valence and arousal"] == "No song of this release has a label."
        and len(says) == N_FIGURES
    )
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", bare, flags=re.DOTALL).lower()
    assert "rejects/ folder is not beside" in bare
    assert (
        f"the {sum(shard['rows'] for shard in few)} songs of the first shards, a sample by hash"
        in bare
    )


def test_bars_are_sampled_by_shard(labelled: Path, report: str) -> None:
    manifest = read(labelled / "release")
    assert {shard["path"] for shard in facts.sampled_shards(manifest["shards"])} == {
        s["path"] for s in manifest["shards"]
    }
    few = facts.sampled_shards(manifest["shards"], 1)
    assert [shard["split"] for shard in few] == sorted(manifest["splits"]) and all(
        "-00000-" in shard["path"] for shard in few
    )
    assert "a sample by hash" not in report


def test_bars_are_counted_as_a_loop_counts_them(labelled: Path) -> None:
    bars, rows = (
        facts.read_bars(str(labelled / "release"), read(labelled / "release")["shards"]),
        rows_of(labelled),
    )
    tokens = Counter(
        min(int(n), facts.MOST_TOKENS)
        for row in rows
        for n in np.diff(row["remi_bar_offset"])
    )
    assert {n: int(count) for n, count in enumerate(bars.tokens) if count} == dict(tokens)
    meters = Counter(
        pair
        for row in rows
        for pair in zip(row["bar_numerator"], row["bar_denominator"], strict=True)
    )
    assert bars.meters == meters and bars.n_songs == len(rows)
    shares = sorted(np.mean([12 <= key < 24 for key in row["key"]]) for row in rows)
    assert np.allclose(np.sort(bars.minor_share), shares)


def test_separation_is_what_all_pairs_say() -> None:
    low, high = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 3.0, 5.0])
    pairs = [(one > other) + 0.5 * (one == other) for one in high for other in low]
    assert facts.separation(low, high) == pytest.approx(np.mean(pairs))
    assert np.isnan(facts.separation(low, high[:0]))


def test_six_songs_are_chosen_whatever_their_order(labelled: Path) -> None:
    songs = facts.read_songs(
        str(labelled / "release"), read(labelled / "release")["shards"]
    )
    chosen = [songs["song_id"][row].as_py() for row in choose(songs)]
    shuffled = songs.take(np.random.default_rng(0).permutation(songs.num_rows))
    assert [shuffled["song_id"][row].as_py() for row in choose(shuffled)] == chosen and len(
        set(chosen)
    ) == 6
    assert {songs["quadrant"][row].as_py() for row in choose(songs)[:4]} == {
        "happy",
        "tense",
        "sad",
        "calm",
    }


def test_the_command_writes_the_same_bytes_again(
    labelled: Path, tmp_path: Path, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(labelled)]) == 0
    assert (labelled / "release" / "report.html").read_text() == report
    assert str(labelled) not in report
    assert main(["report", str(tmp_path)]) == 2
    assert "no release at" in capsys.readouterr().err


def test_a_damaged_release_is_one_sentence(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = tmp_path / "release"
    shutil.copytree(labelled / "release", release)
    (release / "report.html").unlink()
    shard = next((release / "data").glob("train-*"))
    for spoil, code, says in (
        (lambda: shard.write_bytes(b"no Parquet"), 1, "verify says where"),
        (shard.unlink, 1, "verify says where"),
        (
            lambda: (release / "manifest.json").write_text("{}"),
            2,
            "publish the release again",
        ),
        (
            lambda: (release / "manifest.json").write_text("{"),
            2,
            "publish the release again",
        ),
    ):
        spoil()
        assert main(["report", str(release)]) == code
        error = capsys.readouterr().err.strip()
        assert says in error and len(error.splitlines()) == 1
    assert not (release / "report.html").exists()


def test_the_key_track_is_the_posterior_of_the_row_s_keys() -> None:
    """The shade of each bar adds up to one and is darkest, as a rule, where the row's
    key is."""
    song = mock.song("Piano: C4 E4 G4 C5 | F4 A4 C5 F4 | G4 B4 D5 G4 | C4 E4 G4 C4")
    settings = public(KeyConfig())
    row = key.compute(song, quantise(song), KeyConfig())
    sure = key_track(row, song, settings)
    assert sure.shape == (4, 24)
    assert np.allclose(sure.sum(axis=1), 1)
    assert np.allclose(sure[np.arange(4), row["key"]], row["key_confidence"], atol=1e-4)
    plain = key.compute(song, quantise(song), KeyConfig(method="ks_bar"))
    stored = key_track(plain, song, public(KeyConfig(method="ks_bar")))
    assert (np.count_nonzero(stored, axis=1) == 1).all()
