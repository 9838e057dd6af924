"""The forms a registry line takes: Source, Filter, Feature; and the Item and Stats that
pass through them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from schemas.grid import Grid
from schemas.song import MAX_TICKS, Song


@dataclass(frozen=True)
class FileInfo:
    """One path below a root, with `/` between its parts; n_bytes is None for a thing
    that is not a plain file."""

    path: str
    n_bytes: int | None


class Files(Protocol):
    """The file system a source lists: local, or any that Beam opens."""

    def walk(self, root: str) -> list[FileInfo]:
        """Everything below root, sorted by path, paths relative to root."""
        ...

    def read(self, root: str, path: str) -> bytes:
        """The bytes of one file."""
        ...


# What Python makes of a byte of a file name that is no UTF-8
_UNDECODED = re.compile("[\udc80-\udcff]")


def _percent(byte: re.Match[str]) -> str:
    return f"%{ord(byte[0]) - 0xDC00:02X}"


@dataclass(frozen=True, order=True)
class Item:
    """One song to be read: its key in its source, the files that hold it (relative to the
    root) and their sizes.

    part: which tune of a file that holds many, from 0; side: JSON of what a side file or
    folder name says of the song. n_bytes is None where a path is not a plain file.
    """

    source: str
    key: str
    paths: tuple[str, ...]
    n_bytes: int | None
    part: int = 0
    side: str = ""

    def __post_init__(self) -> None:
        # A file name may be any bytes: those that are no UTF-8 are spelt %FF in the key, which is
        # hashed and stored as text. Paths stay as the file system gives them.
        object.__setattr__(self, "key", _UNDECODED.sub(_percent, self.key))

    @property
    def song_id(self) -> str:
        return f"{self.source}:{self.key}"


@dataclass(frozen=True)
class Limits:
    """How much time, memory and music a file may ask for before it is refused."""

    read_seconds: float = 30.0
    max_file_bytes: int = 64 << 20
    max_unpacked_bytes: int = 256 << 20
    max_ticks: int = 4_000_000
    max_notes: int = 400_000
    max_bars: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(
                    f"{field.name} must be over 0, not {getattr(self, field.name)}"
                )
        # The last bar may be as long as all that stands before it.
        if self.max_ticks > MAX_TICKS // 2:
            raise ValueError(
                f"max_ticks must be at most {MAX_TICKS // 2}, not {self.max_ticks}"
            )


@dataclass(frozen=True)
class Source:
    """A corpus: `items(files, config)` lists its songs, `parse(item, blobs, config,
    limits)` makes one a Song.

    parse is pure: the bytes of item.paths in, a Song out; it raises BadInput and nothing else for a
    bad file. prepare, if any, makes the corpus's files (below config.root) before they are listed.
    looks_for: which files items takes for songs, said where there are none. by_name: a build may
    have several, each under a name of its own, which is its config's `name`.
    """

    name: str
    config: type
    items: Callable[[Files, Any], Iterable[Item]]
    parse: Callable[[Item, tuple[bytes, ...], Any, Limits], Song]
    prepare: Callable[[Any], None] | None = None
    looks_for: str = ""
    by_name: bool = False


@dataclass(frozen=True)
class Feature:
    """Columns computed from one song alone: `compute(song, grid, config)` gives one
    value or array a column."""

    name: str
    columns: tuple[str, ...]
    compute: Callable[[Song, Grid, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Filter:
    """A rule on a song's statistics: `check(stats, config)` says in a few words what is
    wrong, or None to keep it; its name is the reason of the Reject."""

    name: str
    check: Callable[[Mapping[str, Any], Any], str | None]
