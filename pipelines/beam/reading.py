"""Reading: one song's bytes to one row of the songs table. Runs in a sandbox's child, so it
imports no Beam."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.contracts import Item, Limits
from schemas.grid import quantise
from schemas.reject import BadInput, Reason
from schemas.remi import RemiConfig, encode
from schemas.row import to_row
from schemas.song import Song

# Letters of an exception's text that a Reject keeps
MOST_SAID = 400


@dataclass(frozen=True)
class Reading:
    """How songs are read: per source its parse function, root and config; per feature its
    compute function and config."""

    sources: Mapping[str, tuple[Callable[..., Song], str, Any]]
    features: tuple[tuple[Callable[..., Mapping[str, Any]], Any], ...]
    remi: RemiConfig
    limits: Limits


def make_row(
    parse: Callable[..., Song],
    item: Item,
    blobs: tuple[bytes, ...],
    config: Any,
    reading: Reading,
) -> dict[str, Any]:
    """Parse one song and compute all that it alone decides.

    Raises BadInput alone for what a file makes of its reader: what no reader foresaw is
    READER_FAILED, with the name of the exception, so that one odd file ends no build.
    """
    try:
        song = parse(item, blobs, config, reading.limits)
        row = _columns(song, reading)
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(Reason.READER_DIED, "the reader had no memory left") from error
    except Exception as error:
        says = f"{type(error).__name__}: {error}"
        raise BadInput(Reason.READER_FAILED, says[:MOST_SAID]) from error
    if song.song_id != item.song_id:
        raise ValueError(f"{item.song_id} was read as {song.song_id}")
    return row


def _columns(song: Song, reading: Reading) -> dict[str, Any]:
    if len(song.bars) > reading.limits.max_bars:
        raise BadInput(
            Reason.TOO_LARGE, f"{len(song.bars)} bars, max_bars {reading.limits.max_bars}"
        )
    grid = quantise(song)
    features: dict[str, Any] = {}
    for compute, feature_config in reading.features:
        features.update(compute(song, grid, feature_config))
    return to_row(song, encode(song, grid, reading.remi), features)
