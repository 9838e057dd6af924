"""describe: the same facts in every width, from a manifest's facts alone."""

import copy
import json
import shutil
import subprocess
import sys
from os import terminal_size
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.describe import describe_text, terminal_width
from pipelines.labels.summary import NUMBERS, name_audit
from pipelines.layout import DESCRIBED
from schemas.code import installed_version

FALL = {
    "in": 174_154,
    "failed": {"no_piano": 40_211, "too_short": 19_610, "duplicate": 24_723},
    "failed_alone": {"no_piano": 30_985, "too_short": 12_894, "duplicate": 12_304},
    "kept": 103_472,
}
OTHER, TITLE, BOTH = range(3)
# (name found, log-odds of all else) of six labels, four of them of songs whose true name is
# known.
FOUND = [
    (BOTH, 0.50),
    (OTHER, 0.50),
    (TITLE, 3.72),
    (OTHER, -2.40),
    (None, -2.40),
    (None, None),
]


def numbers(found: list[tuple[int | None, float | None]]) -> pa.Table:
    names = {"name_found": [name for name, _ in found]}
    rest = {"log_odds_without_name": [log_odds for _, log_odds in found]}
    nothing = dict.fromkeys(NUMBERS.names, [None] * len(found))
    return pa.table({**nothing, **names, **rest}, NUMBERS)


FACTS: dict[str, Any] = {
    "name": "a-release-with-a-name-that-somebody-has-put-together-from-the-names-of-all-its-sources",
    "bytes": 1_828_400_000,
    "shards": 192,
    "splits": {"train": 103_285, "validation": 72, "test": 115},
    "ingest": {
        "read": {"lpd5": 174_154, "nottingham": 1_034},
        "kept": {"lpd5": 174_000, "nottingham": 1_034},
        "rejected": {"lpd5": 154, "nottingham": 0},
        "reasons": {"lpd5": {"malformed": 100, "too_large": 30, "timeout": 20, "empty_file": 4}, "nottingham": {}},
    },
    "waterfall": {"lpd5": FALL, "nottingham": FALL, "all": FALL},
    "clusters": {"2": 100, "3": 4},
    "groups": {
        "asked": {"train": 0.8, "validation": 0.1, "test": 0.1}, "sizes": {"1": 103_000, "2": 200, "36": 2}, "cap": 1_034,
        "cut": 1, "largest_before": 61_003, "largest": 36, "near_pairs_cut": 1_024, "keys_cut": 310, "tied": 6_012,
        "held_out": {"validation": 3, "test": 5}, "given": 1_071, "given_conflicts": 2,
    },
    "thresholds": {"rule": "train_median", "margin": 0.0, "valence": 0.4715, "arousal": 0.57, "n_train": 1_764},
    "labels": {
        "labelled": 2_208,
        "trusted": 396,
        "lent": 3,
        "judge": 302,
        "disagreeing": {"0.0": 339, "0.1": 236, "0.2": 95},
        "cluster_agreement": {"pairs": 78, "valence": 55, "arousal": 53},
        "audit": name_audit(numbers(FOUND)),
        "quadrants": {"train": {"happy": 601, "tense": 278, "sad": 604, "calm": 281, "none": 0}},
        "sources": {"a_table_of_features_that_has_a_very_long_name_indeed_and_then_some_more:agree": 2_208},
        "unlabelled": {"no match": 995, "titles differ": 307},
    },
    "metadata": {"refused": {"no file": 2_000, "cannot be read": 3}},
}  # fmt: skip


def facts_of(text: str) -> list[str]:
    """Every word and number, however it is laid out; folding may cut a word, so letters
    alone count."""
    return sorted("".join(text.split()))


@pytest.mark.parametrize("width", [60, 61, 79, 80, 100, 119, 120, 132, 160])
def test_no_line_is_wider_and_no_fact_is_lost(width: int) -> None:
    text = describe_text(FACTS, width)
    assert max(map(len, text.splitlines())) <= width
    assert facts_of(text) == facts_of(describe_text(FACTS, 10_000))


def test_waterfalls_stand_side_by_side_on_a_wide_terminal_alone() -> None:
    def heads(width: int) -> list[str]:
        return [
            line
            for line in describe_text(FACTS, width).splitlines()
            if line.count("failed  ")
        ]

    assert len(heads(119)) == 3
    (line,) = heads(120)
    assert line.split() == [
        "lpd5",
        "failed",
        "alone",
        "nottingham",
        "failed",
        "alone",
        "all",
        "failed",
        "alone",
    ]


def test_two_thousand_missing_files_are_one_line() -> None:
    (line,) = [line for line in describe_text(FACTS).splitlines() if "no file" in line]
    assert line.split() == ["no", "file", "2,000"]


def test_groups_say_what_was_cut_tied_and_set_aside() -> None:
    text = " ".join(describe_text(FACTS, 10_000).split())
    for says in (
        "groups: 202 of 472 songs, the largest of 36 (at most 1,034)",
        "1 groups of up to 61,003 songs were cut: 1,024 near pairs and 310 keys parted",
        "6,012 songs are tied to another group",
        "set aside for it: 3 of validation, 5 of test",
        "published splits of 1,071 songs are taken",
        "train 103,285 99.8% 80.0%",
    ):
        assert says in text


def test_a_release_without_labels_or_rejects_has_its_lines() -> None:
    facts = copy.deepcopy(FACTS)
    facts["labels"]["labelled"], facts["splits"] = 0, {"train": 0}
    assert describe_text(facts, 60).endswith("labels: none")


def test_names_are_counted_by_trust_without_them() -> None:
    audit = name_audit(numbers(FOUND))
    assert audit["songs"] == 4 and audit["by_trust_without_name"] == {
        "0.0": {"songs": 1, "trust": 0.0832, "title": 0, "artist": 0},
        "0.5": {"songs": 2, "trust": 0.6225, "title": 1, "artist": 1},
        "0.8": {"songs": 1, "trust": 0.9763, "title": 1, "artist": 0},
    }
    tenths = audit["reliability"]
    assert len(tenths) == 10 and sum(band["songs"] for band in tenths.values()) == 4
    assert tenths["0.6"] == audit["by_trust_without_name"]["0.5"]
    assert tenths["0.2"] == {"songs": 0, "trust": None, "title": 0, "artist": 0}
    assert name_audit(numbers([]))["songs"] == 0
    rows = [
        line.split()
        for line in describe_text(FACTS).splitlines()
        if line.startswith(("0.0 to", "0.5 to", "0.8 and"))
    ]
    assert [row[3:] for row in rows] == [
        ["1", "0", "0%", "0"],
        ["2", "1", "50%", "1"],
        ["1", "1", "100%", "0"],
    ]


@pytest.mark.parametrize(
    ("columns", "width"), [("20", 60), ("60", 60), ("97", 97), ("400", 160)]
)
def test_the_width_is_the_terminal_s(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == 80
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert terminal_width() == width
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(
        shutil, "get_terminal_size", lambda fallback: terminal_size((int(columns), 24))
    )
    assert terminal_width() == width


def test_a_reader_that_goes_early_gets_no_traceback(tmp_path: Path) -> None:
    for size in (
        1,
        1_000_000,
    ):  # what waits to be flushed at the end, and what breaks in the middle
        facts = {name: {} for name in DESCRIBED} | {
            "config": {},
            "shards": [],
            "dated": "",
            "name": "x" * size,
        }
        (tmp_path / "manifest.json").write_text(json.dumps(facts))
        program = "import sys; from pipelines.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "describe", str(tmp_path), "--json"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1


HEAVY = ("apache_beam", "music21", "torch", "matplotlib", "symusic")


@pytest.mark.parametrize(
    "command", ["describe", "verify --help", "build --help", "--version"]
)
def test_light_commands_load_no_heavy_library(tmp_path: Path, command: str) -> None:
    kinds = {"config": {}, "shards": [], "dated": "", "name": "light"}
    facts = {name: {} for name in DESCRIBED} | kinds
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    program = f"""
import sys
from pipelines.cli import main
try:
    main(sys.argv[1:])
finally:
    loaded = [name for name in {HEAVY} if name in sys.modules]
    print("loaded:", loaded, file=sys.stderr)
"""
    arguments = [
        *command.split(),
        *([str(tmp_path), "--json"] if command == "describe" else []),
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "loaded: []"


def test_the_module_runs_and_says_its_version() -> None:
    for package, name in (("pipelines.cli", "moodroll"), ("training.cli", "moodroll")):
        command = [sys.executable, "-m", package, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"{name} ")


def test_without_an_installed_package_the_version_is_unknown() -> None:
    assert installed_version("no-such-distribution") == "unknown"
