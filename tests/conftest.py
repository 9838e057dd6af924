"""What tests share: the real corpora, unpacked outside the project, or a skip that says
they are absent."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from schemas import working

# The same examples in every run: a failure can be run again, and no run fails by luck.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

# Files that take a minute or more. They are begun first, so that no process is at work alone at the end.
LONG = ("test_real.py", "test_build.py", "test_models.py", "test_experiments.py")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora: beside the checkout, or where MOODROLL_DATA says."""
    folder = Path(os.environ.get("MOODROLL_DATA", SHARED))
    if not (folder / "lpd_5_full_sample.tar.xz").exists():
        pytest.skip(
            "the real corpora are absent: put them in ../shared/data or name their folder in MOODROLL_DATA"
        )
    return folder


@pytest.fixture(scope="session")
def lpd_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,848 npz of LPD-5-full, `<hex>/<md5>.npz`."""
    return (
        _unpack(real_data / "lpd_5_full_sample.tar.xz", tmp_path_factory)
        / "lpd_5"
        / "lpd_5_full"
    )


@pytest.fixture(scope="session")
def nottingham_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jukedeck's 1,034 tunes, `MIDI/` and `ABC_cleaned/`."""
    return _unpack(real_data / "nottingham.tar.xz", tmp_path_factory) / "nottingham"


@pytest.fixture(scope="session")
def lmd_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """234 Lakh MIDI files, `<hex>/<md5>.mid`."""
    return _unpack(real_data / "lmd_midi_sample.tar.xz", tmp_path_factory) / "lmd_full"


@pytest.fixture(scope="session")
def msd_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """63 Million Song Dataset HDF5 files, `A/B/C/TR….h5`."""
    return _unpack(real_data / "msd_h5_sample.tar.xz", tmp_path_factory) / "msd"


@pytest.fixture(scope="module")
def no_drawings() -> Iterator[None]:
    """Releases whose report is one line: drawing it takes most of a small build's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.report.page.page", lambda *_: "<p>not drawn</p>")
        yield


def _unpack(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive's files, unpacked once for all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / archive.name.removesuffix(".tar.xz")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            part = folder.with_suffix(".part")
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")
            part.rename(folder)
    return folder


def pytest_configure() -> None:
    """No lines about the time that passes: tests compare what is said, on machines of any pace."""
    working.SECONDS_BETWEEN_LINES = 10_000.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others as they were."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many tests could not look at real data."""
    absent = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "real corpora are absent" in str(report.longrepr)
    ]
    if absent:
        terminalreporter.write_line(
            f"{len(absent)} tests were skipped because the real corpora are absent"
        )
