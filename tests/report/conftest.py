"""Two small releases to report on: one whose songs have labels, one that has none."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from schemas import mock


def build(folder: Path, labels: bool) -> Path:
    """The folder of a build of 36 made-up songs, four of them too short for its filter
    and one that cannot be read."""
    (folder / "lpd").mkdir()
    for number, song in enumerate(mock.songs(36, n_bars=4 if labels else 3)):
        (folder / "lpd" / f"{song.source_key}.npz").write_bytes(
            write_npz(song.notes, song.tempi, 96 * len(song.bars), song.source_key)
        )
        if number < 4:
            short = mock.song("Piano: C4 D4 E4 F4 | G4 _ _ -", key=f"{'f' * 31}{number}")
            (folder / "lpd" / f"{short.source_key}.npz").write_bytes(
                write_npz(short.notes, short.tempi, 192, short.source_key)
            )
    (folder / "lpd" / f"{'e' * 32}.npz").write_bytes(b"PK no archive")
    rows = [f"{song.source_key},{(number * 7 % 36) / 40 + 0.02:.3f},{(number * 11 % 36) / 40 + 0.04:.3f}"
            for number, song in enumerate(mock.songs(30))]  # fmt: skip
    (folder / "features.csv").write_text("\n".join(["md5,valence,energy", *rows]) + "\n")
    affect = f'[affect]\nlabels = ["{folder}/features.csv"]\n' if labels else ""
    (folder / "build.toml").write_text(
        f'name = "tiny"\nshards = 3\nfile_megabytes = 1e-6\nmax_reject_share = 0.5\n[sources.lpd5]\nroot = "{folder}/lpd"\n'
        f"[filters.lpd5]\nmin_bars = 3\n{affect}[splits]\ntrain = 0.6\nvalidation = 0.2\ntest = 0.2\n"
    )
    assert (
        main(
            [
                "build",
                str(folder / "build.toml"),
                "--out",
                str(folder / "out"),
                "--",
                "--runner=FnApiRunner",
            ]
        )
        == 0
    )
    return folder / "out"


def read(release: Path) -> dict[str, Any]:
    return json.loads((release / "manifest.json").read_text())


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("labelled"), labels=True)


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("unlabelled"), labels=False)


@pytest.fixture
def manifest(labelled: Path) -> dict[str, Any]:
    """The manifest of the labelled release, a copy to change."""
    return read(labelled / "release")
