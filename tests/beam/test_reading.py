"""Whatever a file makes of its reader costs one Reject; what is our own mistake raises."""

import contextlib
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.beam.reading import Reading, make_row
from pipelines.config import BuildConfig
from pipelines.formats.npz import foreign_tracks
from pipelines.formats.npz_write import write_npz
from pipelines.ingest import reading
from pipelines.sources.lpd5 import Lpd5Config, parse
from schemas import mock
from schemas.contracts import Item, Limits
from schemas.reject import PASSING, BadInput, Reason
from schemas.song import Song

KEY = "a" * 32
ITEM = Item("lpd5", KEY, ("x.npz",), 1)


@pytest.fixture(scope="module")
def how() -> Reading:
    return reading(BuildConfig("t", {}, sources={"lpd5": Lpd5Config()}))


@pytest.fixture(scope="module")
def blob() -> bytes:
    song = next(iter(mock.songs(1, n_bars=16)))
    return write_npz(song.notes, song.tempi, int(song.bars["start"][-1]) + 96, KEY)


def row(blob: bytes, how: Reading, parse: Any = parse) -> dict[str, Any]:
    return make_row(parse, ITEM, (blob,), Lpd5Config(), how)


def fails(error: BaseException) -> Any:
    def parse(*_: Any) -> Song:
        raise error

    return parse


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (ValueError("negative seek value"), Reason.READER_FAILED, "ValueError: negative seek value"),
        (RecursionError("too deep"), Reason.READER_FAILED, "RecursionError: too deep"),
        (KeyError("x" * 10_000), Reason.READER_FAILED, "KeyError: 'xxx"),
        (MemoryError(), Reason.READER_DIED, "no memory left"),
        (BadInput(Reason.BAD_INFO, "no JSON"), Reason.BAD_INFO, "no JSON"),
    ],
)  # fmt: skip
def test_an_exception_of_a_reader_is_a_reject(
    how: Reading, error: Exception, reason: Reason, says: str
) -> None:
    with pytest.raises(BadInput) as refused:
        row(b"", how, fails(error))
    assert refused.value.reason == reason and says in refused.value.detail
    assert len(refused.value.detail) <= 400


def test_an_exception_of_a_feature_is_a_reject(how: Reading, blob: bytes) -> None:
    def compute(song: Song, grid: Any, config: Any) -> dict[str, Any]:
        return {"x": 1 // (len(song.notes) - len(song.notes))}

    odd = replace(how, features=((compute, None),))
    with pytest.raises(BadInput, match="ZeroDivisionError"):
        row(blob, odd)


def test_a_song_under_another_name_is_our_mistake(how: Reading, blob: bytes) -> None:
    def other(item: Item, *rest: Any) -> Song:
        return parse(replace(item, key="b" * 32), *rest)

    with pytest.raises(ValueError, match=f"lpd5:{KEY} was read as lpd5:b"):
        row(blob, how, other)


def test_damaged_archives_are_named_as_damaged(how: Reading, blob: bytes) -> None:
    """Blocks dropped, doubled, swapped, and bytes changed: never more than a Reject with one of
    the reader's own reasons."""
    chance = random.Random(16)
    reasons = set()
    for trial in range(150):
        spoilt = damaged(blob, chance, trial % 4)
        try:
            row(spoilt, how)
        except BadInput as bad:
            reasons.add(bad.reason)
        with contextlib.suppress(BadInput):
            foreign_tracks(spoilt, Limits())
    assert Reason.READER_FAILED not in reasons
    assert reasons >= {Reason.TRUNCATED}


def damaged(blob: bytes, chance: random.Random, how: int) -> bytes:
    size = chance.choice((1, 16, 128, 512))
    at = chance.randrange(len(blob) - size)
    block = blob[at : at + size]
    if how == 0:
        return blob[:at] + blob[at + size :]
    if how == 1:
        return blob[:at] + block + blob[at:]
    if how == 2:
        return blob[:at] + block[::-1] + blob[at + size :]
    return blob[:at] + chance.randbytes(size) + blob[at + size :]


@pytest.mark.parametrize("tracks", [{"9" * 5000: {}}, {"\u0663": {}, "1": []}])
def test_odd_numbers_of_tracks(tracks: dict[str, Any], blob: bytes) -> None:
    import io
    import json
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("info.json", json.dumps({"beat_resolution": 24, **tracks}))
    assert isinstance(foreign_tracks(stream.getvalue(), Limits()), str)


def test_bars_are_counted_before_they_are_laid(how: Reading) -> None:
    from pipelines.formats.npz_time import downbeat_bars

    with pytest.raises(BadInput, match="4000001 bars, max_bars 100000"):
        downbeat_bars(np.array([0, 1, 2]), 4_000_000, 100_000)


def test_what_passes_is_of_the_moment_and_not_of_the_file() -> None:
    assert {"unreadable", "timeout", "reader_died"} == PASSING
