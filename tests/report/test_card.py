"""card: everything that is on it comes from the manifest, and its header is what Hugging
Face reads."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.report import citations as sources
from pipelines.report.card import card
from pipelines.report.sidecars import side_faults, side_files
from pipelines.sources.sample.synthetic_labels import LABEL_SOURCE
from schemas.columns import RELEASE


def header(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def with_labels_of(manifest: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        **manifest,
        "labels": {
            **manifest["labels"],
            "sources": {source: manifest["labels"]["labelled"]},
        },
    }


def test_each_split_s_glob_takes_its_shards_and_no_other(manifest: dict[str, Any]) -> None:
    config = header(card(manifest))["configs"][0]
    assert [files["split"] for files in config["data_files"]] == list(manifest["splits"])
    for files in config["data_files"]:
        taken = {
            shard["split"]
            for shard in manifest["shards"]
            if fnmatch(shard["path"], files["path"])
        }
        assert taken == {files["split"]}


def test_header_says_licence_size_and_tags(manifest: dict[str, Any]) -> None:
    head = header(
        card({**manifest, "splits": {"train": 90_000, "validation": 9_999, "test": 1}})
    )
    assert head["license"] == ["cc-by-4.0", "other"] and head["size_categories"] == [
        "100K<n<1M"
    ]
    assert head["license_link"] == "README.md" and "Spotify" in head["license_name"]
    assert "emotion" in head["tags"] and "language" not in head
    bare = {**manifest["labels"], "labelled": 0, "sources": {}}
    plain = header(card({**manifest, "labels": bare, "splits": {"train": 999}}))
    assert (
        plain["license"] == ["cc-by-4.0"]
        and plain["size_categories"] == ["n<1K"]
        and "emotion" not in plain["tags"]
    )


def test_every_column_stands_with_its_type_and_meaning(manifest: dict[str, Any]) -> None:
    text = card(manifest)
    for field in RELEASE:
        assert (
            f"| `{field.name}` | `" in text
            and field.metadata[b"description"].decode() in text
        )
    assert "`list<int32>` | onset of each note" in text
    assert "1 D♭ major" in text and "20 G♯ minor" in text


def test_numbers_are_the_manifest_s(manifest: dict[str, Any]) -> None:
    fall, labels = manifest["waterfall"]["lpd5"], manifest["labels"]
    assert fall["failed"]["too_few_bars"] == 4
    text = card(manifest)
    assert (
        "| too_few_bars (min_bars 3) | 4 |" in text
        and f"| **kept** | {fall['kept']:,} |" in text
    )
    assert (
        f"valence {manifest['thresholds']['valence']:.4f}" in text
        and "| truncated 1 |" in text
    )
    for split, by in labels["quadrants"].items():
        assert f"| {split} | {' | '.join(map(str, by.values()))} |" in text
    fall["failed"]["too_few_bars"] = 1_234_567
    assert "| too_few_bars (min_bars 3) | 1,234,567 |" in card(manifest)


def test_the_same_manifest_gives_the_same_card_without_a_path(
    labelled: Path, manifest: dict[str, Any]
) -> None:
    assert card(manifest) == card(manifest)
    assert str(labelled) not in card(manifest) and "/tmp" not in card(manifest)


def test_labels_of_a_rule_are_said_in_bold_and_are_not_called_spotify_s(
    manifest: dict[str, Any],
) -> None:
    text = card(with_labels_of(manifest, f"{LABEL_SOURCE}:agree"))
    assert "**The labels of this release are made by a rule" in text
    assert "Developer Policy" not in text and "Bertin-Mahieux" not in text
    assert "**The labels of this release" not in card(manifest)


def test_labels_of_spotify_bring_its_terms_and_the_flaws(manifest: dict[str, Any]) -> None:
    text = card(with_labels_of(manifest, "msd_spotify_features:agree"))
    for says in (
        "forbids training",
        "Bertin-Mahieux",
        "midi-emotion",
        "GPL-3.0",
        "MuseGAN",
        "Raffel",
        "About a third of",
    ):
        assert says in text, says
    assert "Foxley" not in text  # no Nottingham in it
    manifest["waterfall"] = {
        "nottingham": manifest["waterfall"]["lpd5"],
        "all": manifest["waterfall"]["all"],
    }
    assert "Foxley" in card(manifest) and "MuseGAN" not in card(manifest)


def test_a_mean_of_two_tables_names_both(manifest: dict[str, Any]) -> None:
    text = card(with_labels_of(manifest, "mine+msd_spotify_features:mean"))
    assert "midi-emotion" in text and "**The labels of this release" not in text
    assert "**The labels of this release" in card(
        with_labels_of(manifest, f"{LABEL_SOURCE}+mine:mean")
    )


def test_what_is_said_of_keys_and_labels_is_what_was_asked(
    manifest: dict[str, Any],
) -> None:
    config = manifest["config"]
    text = card(manifest)
    assert (
        "hidden Markov model" in text
        and "where titles differ" in text
        and "Valence of exactly 0" in text
    )
    other = {"key": {**config["key"], "method": "ks_bar"}}
    other["affect"] = {**config["affect"], "rule": "best_score", "zero_is_missing": False}
    text = card({**manifest, "config": {**config, **other}})
    assert "Krumhansl-Schmuckler" in text and "the rule `best_score`" in text
    assert not any(
        says in text
        for says in ("hidden Markov model", "where titles differ", "Valence of exactly 0")
    )


def test_a_release_without_labels_says_so(unlabelled: Path) -> None:
    text = (unlabelled / "release" / "README.md").read_text()
    assert "This release has no emotion labels" in text and "Developer Policy" not in text


@pytest.mark.parametrize("name", ['a "quoted": name', "a | b", "#x", "línea"])
def test_no_name_breaks_the_header(manifest: dict[str, Any], name: str) -> None:
    assert header(card({**manifest, "name": name}))["pretty_name"] == name


def test_a_source_without_facts_is_named_and_its_terms_are_said_to_be_unknown(
    manifest: dict[str, Any],
) -> None:
    manifest["waterfall"] = {
        "new": manifest["waterfall"]["lpd5"],
        "all": manifest["waterfall"]["all"],
    }
    assert f"| new | {sources.UNKNOWN_TERMS} |" in card(manifest)


def test_side_files_that_differ_are_told(
    labelled: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    assert list(side_faults(str(labelled / "release"), manifest)) == []
    for name, text in side_files(manifest).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "README.md").write_text(card(manifest) + "One word more.\n")
    (tmp_path / "croissant.json").unlink()
    assert list(side_faults(str(tmp_path), manifest)) == [
        "README.md is not what the manifest gives",
        "croissant.json is missing",
    ]


def test_what_people_say_has_a_section_where_it_was_asked(manifest: dict[str, Any]) -> None:
    assert "## Against people" not in card(manifest)
    measured = {"n": 56, "high": 24, "auc": 0.8822, "auc_interval": [0.7714, 0.969]}
    affect = {
        **manifest["config"]["affect"],
        "people": {"moods": {"citation": "They, 2020.", "license": "LGPL-3.0"}},
    }
    asked = {
        **manifest,
        "people": {"moods": {"valence": measured, "arousal": {"n": 3}}},
        "config": {**manifest["config"], "affect": affect},
    }
    text = card(asked)
    assert "| moods | valence | 56 | 0.882 (0.771-0.969) |  |  |" in text
    assert "| moods | arousal | 3 |  |  |  |" in text and "They, 2020." in text


def test_stated_terms_go_into_card_and_header(manifest: dict[str, Any]) -> None:
    config = manifest["config"]
    mine = {"license": "cc-by-nc-4.0", "citation": "Me, 2026.", "url": "https://a.b"}
    stated = {
        **with_labels_of(manifest, "us:own"),
        "waterfall": {
            "mine": manifest["waterfall"]["all"],
            "all": manifest["waterfall"]["all"],
        },
        "config": {
            **config,
            "sources": {"mine": mine},
            "affect": {
                **config["affect"],
                "own": {"us": {"license": "Ours alone", "citation": "Us."}, "idle": mine},
            },
        },
    }
    text = card(stated)
    assert header(text)["license"] == ["cc-by-nc-4.0", "other"]
    assert "Me, 2026." in text and "Ours alone" in text and "us (labels)" in text
    assert "idle" not in text and "Spotify's Developer Terms" not in text
    unknown = {**stated, "config": {**stated["config"], "sources": {"mine": {}}}}
    assert sources.UNKNOWN_TERMS in card(unknown)
