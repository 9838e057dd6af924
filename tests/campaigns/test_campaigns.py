"""A small sample of each campaign that spoils inputs and releases."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaigns are scripts, which find each other where they stand."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaign")


def test_spoilt_inputs_of_a_build(
    work: Path, lpd_root: Path, nottingham_root: Path, lmd_root: Path, msd_root: Path
) -> None:
    from mutations import campaign

    data = work / "data"
    (data / "lpd_5").mkdir(parents=True)
    (data / "lpd_5" / "lpd_5_full").symlink_to(lpd_root)
    for name, root in (
        ("nottingham", nottingham_root),
        ("lmd_full", lmd_root),
        ("msd", msd_root),
    ):
        (data / name).symlink_to(root)
    assert not campaign(data, work, seed=16, number=60, training=False)


def test_edits_of_a_release(work: Path) -> None:
    from edits import campaign

    came = campaign(work, seed=16, number=8)
    assert not came["missed"] and not came["raised"] and came["found"]
