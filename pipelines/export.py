"""export: songs of a release as MIDI files, which MidiTok, MusPy and every sequencer read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.io import files
from pipelines.layout import find_release, read_manifest
from schemas.midi import write_midi
from schemas.row import from_row, rows_of
from schemas.settings import SettingsError

# What a row is chosen by, read before the row is.
CHOSEN_BY = ["song_id", "quadrant"]
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Choice:
    """Which songs: of these song_ids (none: any), this split and quadrant ("": any), at most
    `limit` (0: all)."""

    songs: frozenset[str] = frozenset()
    split: str = ""
    quadrant: str = ""
    limit: int = 0

    def takes(self, song_id: str, quadrant: str | None) -> bool:
        """Whether a row is one of them, by its id and quadrant."""
        if self.songs and song_id not in self.songs:
            return False
        return not self.quadrant or quadrant == self.quadrant


def export(folder: str, to: str, choice: Choice) -> list[str]:
    """Write the chosen songs of a release as `to`/<song_id>.mid; gives the paths, in the
    release's order.

    Raises SettingsError, before anything is written, for a song or split that the release
    lacks, and where nothing is chosen.
    """
    release = find_release(folder)
    manifest = read_manifest(release)
    if choice.split and choice.split not in manifest["splits"]:
        raise SettingsError(
            f"no split {choice.split}: {release} has {', '.join(manifest['splits'])}"
        )
    places = list(_places(release, manifest, choice))
    _refuse_missing(release, choice, {song_id for song_id, *_ in places})
    if choice.limit:
        places = places[: choice.limit]
    Path(to).mkdir(parents=True, exist_ok=True)
    names = file_names([song_id for song_id, *_ in places])
    paths = [str(Path(to) / f"{name}.mid") for name in names]
    for row, path in zip(_rows(places), paths, strict=True):
        write_midi(from_row(row), path)
    return paths


def file_names(song_ids: list[str]) -> list[str]:
    """A file's name for each song, no two alike: letters, digits, `.`, `_` and `-` of its id,
    with a number where that would be another's."""
    names: list[str] = []
    for song_id in song_ids:
        name = NOT_IN_NAMES.sub("_", song_id)
        number = 2
        while name in names:
            name = f"{NOT_IN_NAMES.sub('_', song_id)}-{number}"
            number += 1
        names.append(name)
    return names


# song_id, path of its shard, row group, row within the group
Place = tuple[str, str, int, int]


def _places(release: str, manifest: Mapping[str, Any], choice: Choice) -> Iterator[Place]:
    for shard in manifest["shards"]:
        if choice.split not in ("", shard["split"]):
            continue
        path = files.join(release, *shard["path"].split("/"))
        with files.open_input(path) as stream:
            parquet = pq.ParquetFile(stream)
            for group in range(parquet.num_row_groups):
                columns = parquet.read_row_group(group, CHOSEN_BY).to_pydict()
                for row, facts in enumerate(zip(*columns.values(), strict=True)):
                    if choice.takes(*facts):
                        yield facts[0], path, group, row


def _rows(places: list[Place]) -> Iterator[Mapping[str, Any]]:
    """The rows at places, which stand in the order of shards and row groups."""
    for (path, group), of_group in groupby(places, lambda place: place[1:3]):
        with files.open_input(path) as stream:
            table = pq.ParquetFile(stream).read_row_group(group)
        yield from rows_of(table.take([row for *_, row in of_group]))


def _refuse_missing(release: str, choice: Choice, found: set[str]) -> None:
    missing = sorted(choice.songs - found)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise SettingsError(
            f"{len(missing)} of {len(choice.songs)} songs are not chosen from {release}: {shown}"
        )
    if not found:
        raise SettingsError(f"no song of {release} is of that split and quadrant")
