"""npz: what pypianoroll's rolls hold, and nothing from a hostile file."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretty_midi import qpm_to_bpm

from pipelines.formats.npz import read_npz
from pipelines.formats.npz_time import SAME_TEMPO, beat_quarters, tempo_changes, to_ticks
from pipelines.formats.npz_write import write_npz
from schemas import mock
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import make_notes, make_tempi


def notes_of_rolls(path: Path) -> list[tuple[int, ...]]:
    """The plain loop over the rolls that pypianoroll loads: (start, track, pitch, duration,
    velocity)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pypianoroll warns of LPD's own empty tracks
        import pypianoroll

        rolls = pypianoroll.load(path).tracks
    found = []
    for track, roll in enumerate(rolls):
        # A pitch that never sounds has no notes, and takes as long to walk as one that does.
        for pitch in np.flatnonzero(roll.pianoroll.any(axis=0)).tolist():
            column = roll.pianoroll[:, pitch].astype(int).tolist()
            start = 0
            for velocity, steps in groupby(column):
                duration = len(list(steps))
                if velocity:
                    found.append((start, track, pitch, duration, velocity))
                start += duration
    return sorted(found)


def plain(notes: np.ndarray) -> list[tuple[int, ...]]:
    return [
        tuple(
            int(note[name]) for name in ("start", "track", "pitch", "duration", "velocity")
        )
        for note in notes
    ]


def test_notes_of_200_real_songs_are_those_of_their_rolls(lpd_root: Path) -> None:
    paths = sorted(lpd_root.rglob("*.npz"))
    sizes = {path: path.stat().st_size for path in paths}
    chosen = [
        paths[index]
        for index in np.random.default_rng(0).permutation(len(paths))
        if sizes[paths[index]] < 200_000
    ][:200]
    for path in chosen:
        assert plain(read_npz(path.read_bytes(), Limits()).notes) == notes_of_rolls(path)


def test_what_is_written_is_read_back_and_by_pypianoroll_too(tmp_path: Path) -> None:
    song = mock.song("Drums: C2 C2 - C2\nPiano: C4+E4 _ G4 -\nStrings: - - - A5")
    blob = write_npz(song.notes, song.tempi, 96, "made")
    assert blob == write_npz(song.notes, song.tempi, 96, "made")
    roll = read_npz(blob, Limits())
    # Drums play C2 twice in touching notes of one velocity: one run, as the format has it.
    assert plain(roll.notes) == [
        (0, 0, 36, 48, 80),
        *plain(song.notes)[1:3],
        *plain(song.notes)[4:],
    ]
    assert roll.n_ticks == 96
    assert roll.downbeats.tolist() == [0]
    assert roll.tempi.tolist() == [(0, 120.0)]
    (tmp_path / "made.npz").write_bytes(blob)
    assert notes_of_rolls(tmp_path / "made.npz") == plain(roll.notes)


@given(st.integers(0, 2**32 - 1))
def test_any_rolls_come_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_notes = int(random.integers(0, 60))
    # One note a pitch and track: touching or overlapping ones are not told apart by the
    # format.
    cells = random.permutation(5 * 128)[:n_notes]
    notes = make_notes(
        random.integers(0, 90, n_notes),
        random.integers(1, 10, n_notes),
        cells % 128,
        random.integers(1, 128, n_notes),
        cells // 128,
    )
    tempi = make_tempi([0, 40], random.uniform(30, 250, 2).astype(np.float32))
    roll = read_npz(
        write_npz(notes, tempi, 100, "any", downbeats=np.array([0, 50])), Limits()
    )
    assert np.array_equal(roll.notes, notes)
    first, second = tempi["bpm"].astype(float)
    # Two tempi that nobody tells apart are one.
    told = abs(second - first) > SAME_TEMPO * first
    assert np.array_equal(roll.tempi, tempi[: 1 + told])
    assert roll.downbeats.tolist() == [0, 50]


@given(st.integers(1, 960), st.lists(st.integers(0, 10**6), min_size=1))
def test_any_resolution_becomes_ticks(resolution: int, steps: list[int]) -> None:
    exact = [np.floor(step * 24 / resolution + 0.5) for step in steps]
    assert np.abs(to_ticks(np.array(steps), resolution) - exact).max() <= (
        0 if 24 % resolution == 0 else 1
    )


def archive(changes: dict[str, bytes | np.ndarray | None]) -> bytes:
    """A sound archive with some members replaced, or left out."""
    song = mock.song("Piano: C4 D4 E4 F4")
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(write_npz(song.notes, song.tempi, 96, "x"))) as sound,
        zipfile.ZipFile(stream, "w") as made,
    ):
        for name in sound.namelist():
            content = changes.get(name, sound.read(name))
            if isinstance(content, np.ndarray):
                member = io.BytesIO()
                np.lib.format.write_array(member, content, allow_pickle=True)
                content = member.getvalue()
            if content is not None:
                made.writestr(name, content)
    return stream.getvalue()


def header_alone(shape: tuple[int, ...]) -> bytes:
    """An array that claims a shape and has no bytes."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|b1", "fortran_order": False, "shape": shape}
    )
    return member.getvalue()


def header_text(text: str, content: bytes = b"") -> bytes:
    """An array whose header is any text."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


def claiming(
    descr: str, shape: str, content: bytes = b""
) -> dict[str, bytes | np.ndarray | None]:
    """Tempo of a dtype and shape."""
    return {
        "tempo.npy": header_text(
            f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}", content
        )
    }


def packed_by(method: int) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive({}))) as sound,
        zipfile.ZipFile(stream, "w", method) as made,
    ):
        for name in sound.namelist():
            made.writestr(name, sound.read(name))
    return stream.getvalue()


def nan_tempo() -> np.ndarray:
    return np.full(96, np.nan)


def bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("info.json", "{}")
        made.writestr("tempo.npy", b"\0" * (300 << 20))
    return stream.getvalue()


def far_step() -> dict[str, bytes | np.ndarray | None]:
    return {"pianoroll_1_csc_shape.npy": np.array([10**9, 128])}


BAD: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "nothing": (lambda: b"", Reason.TRUNCATED),
    "half": (lambda: archive({})[:900], Reason.TRUNCATED),
    "a zip bomb": (bomb, Reason.TOO_LARGE),
    "a pickled object": (
        lambda: archive({"tempo.npy": np.array([{}], object)}),
        Reason.PICKLED,
    ),
    "10^9 steps of tempo": (
        lambda: archive({"tempo.npy": header_alone((10**9,))}),
        Reason.MALFORMED,
    ),
    "10^9 steps of roll": (lambda: archive(far_step()), Reason.TOO_LARGE),
    "a negative shape": (
        lambda: archive({"pianoroll_1_csc_shape.npy": np.array([-1, 128])}),
        Reason.MALFORMED,
    ),
    "NaN tempo": (lambda: archive({"tempo.npy": nan_tempo()}), Reason.BAD_TEMPO),
    "zero tempo": (lambda: archive({"tempo.npy": np.zeros(96)}), Reason.BAD_TEMPO),
    "text tempo": (
        lambda: archive({"tempo.npy": np.array(["fast"] * 96)}),
        Reason.MALFORMED,
    ),
    "info that is not JSON": (lambda: archive({"info.json": b"<html>"}), Reason.BAD_INFO),
    "info that is a list": (lambda: archive({"info.json": b"[1]"}), Reason.BAD_INFO),
    "no resolution": (lambda: archive({"info.json": b"{}"}), Reason.BAD_INFO),
    "no info": (lambda: archive({"info.json": None}), Reason.MALFORMED),
    "no third track": (
        lambda: archive({"pianoroll_3_csc_data.npy": None}),
        Reason.MALFORMED,
    ),
    "a step outside": (
        lambda: archive({"pianoroll_1_csc_indices.npy": np.full(96, 96)}),
        Reason.MALFORMED,
    ),
    "columns that go back": (
        lambda: archive({"pianoroll_1_csc_indptr.npy": np.arange(128, -1, -1)}),
        Reason.MALFORMED,
    ),
    "a header that does not end": (
        lambda: archive({"tempo.npy": header_text("{'shape': (((")}),
        Reason.MALFORMED,
    ),
    "numbers of no bytes": (
        lambda: archive(claiming("'|V0'", "(1000000000,)")),
        Reason.MALFORMED,
    ),
    "negative sides": (
        lambda: archive(claiming("'<f8'", "(-1, -1)", bytes(8))),
        Reason.MALFORMED,
    ),
    "nothing by far too much": (
        lambda: archive(claiming("'<f8'", f"(0, {10**40})")),
        Reason.MALFORMED,
    ),
    "numbers in pairs": (
        lambda: archive(claiming("('<f8', (2,))", "(1,)", bytes(16))),
        Reason.MALFORMED,
    ),
    "a shape of no sides": (
        lambda: archive({"pianoroll_1_csc_shape.npy": np.array(5)}),
        Reason.MALFORMED,
    ),
    "a shape of words": (
        lambda: archive({"pianoroll_1_csc_shape.npy": np.array(["a", "b"])}),
        Reason.MALFORMED,
    ),
    "a bar line far off": (
        lambda: archive({"downbeat.npy": np.arange(5_000_000) % 4_999_999 == 0}),
        Reason.TOO_LARGE,
    ),
    "packed by LZMA": (lambda: packed_by(zipfile.ZIP_LZMA), Reason.MALFORMED),
    "packed by bzip2": (lambda: packed_by(zipfile.ZIP_BZIP2), Reason.MALFORMED),
    "a velocity of 200": (
        lambda: archive({"pianoroll_1_csc_data.npy": np.full(96, 200, np.uint8)}),
        Reason.MALFORMED,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_reason(case: str) -> None:
    make, reason = BAD[case]
    with pytest.raises(BadInput) as refused:
        read_npz(make(), Limits())
    assert refused.value.reason == reason


def test_limits_are_the_caller_s() -> None:
    song = mock.song("Piano: C4 D4 E4 F4")
    blob = write_npz(song.notes, song.tempi, 96, "x")
    with pytest.raises(BadInput, match="max_notes 3"):
        read_npz(blob, Limits(max_notes=3))
    with pytest.raises(BadInput, match="95 steps"):
        read_npz(blob, Limits(max_ticks=95))


def test_bar_lines_of_one_tick_are_one() -> None:
    downbeat = np.zeros(96, bool)
    downbeat[[0, 1, 80]] = True
    roll = read_npz(
        archive({"info.json": b'{"resolution": 960}', "downbeat.npy": downbeat}), Limits()
    )
    assert roll.downbeats.tolist() == [0, 2]


def test_another_resolution_is_brought_to_ticks() -> None:
    info = json.dumps({"resolution": 12}).encode()
    roll = read_npz(archive({"info.json": info}), Limits())
    assert roll.notes["start"].tolist() == [0, 48, 96, 144]
    assert roll.n_ticks == 192


@pytest.mark.parametrize(
    "beats", [[120.0], [60.0, 90.0], [120.0] * 8 + [60.0] * 8, [50.0, 80.0, 50.0]]
)
@pytest.mark.parametrize("resolution", [4, 24])
def test_tiled_tempi_are_those_of_the_beats(beats: list[float], resolution: int) -> None:
    info = {"beat_resolution": resolution}
    tempo = np.tile(np.array(beats), resolution)
    blob = archive({"info.json": json.dumps(info).encode(), "tempo.npy": tempo})
    changes = [i for i, bpm in enumerate(beats) if i == 0 or bpm != beats[i - 1]]
    wanted = [(24 * i, beats[i]) for i in changes]
    assert read_npz(blob, Limits()).tempi.tolist() == wanted


def test_a_tempo_that_is_not_tiled_stands_as_it_is() -> None:
    tempo = np.repeat([120.0, 60.0, 90.0], [30, 40, 26])
    assert read_npz(archive({"tempo.npy": tempo}), Limits()).tempi.tolist() == [
        (0, 120.0),
        (30, 60.0),
        (70, 90.0),
    ]


def test_noise_is_no_change_and_a_slow_ritardando_is() -> None:
    assert tempo_changes(np.array([120.0, 120.0000004, 119.9, 120.0, 60.0])).tolist() == [
        0,
        4,
    ]
    slowing = 120.0 * 0.998 ** np.arange(100)
    changes = tempo_changes(slowing)
    assert len(changes) > 30
    held = slowing[changes][np.searchsorted(changes, np.arange(100), side="right") - 1]
    assert (np.abs(slowing - held) <= SAME_TEMPO * held).all()


@pytest.mark.parametrize("bpm", [0.0, 0.5, 1e-37, 10_001.0, np.inf, np.nan, -120.0])
def test_a_tempo_that_no_music_has_is_bad(bpm: float) -> None:
    with pytest.raises(BadInput) as bad:
        read_npz(archive({"tempo.npy": np.full(96, bpm)}), Limits())
    assert bad.value.reason == Reason.BAD_TEMPO


def test_beats_are_counted_as_pretty_midi_counts_them() -> None:
    for numerator in range(1, 20):
        for denominator in (1, 2, 4, 8, 16, 32):
            beats_a_minute = qpm_to_bpm(120.0, numerator, denominator)
            assert float(beat_quarters(numerator, denominator)) * beats_a_minute == 120.0
