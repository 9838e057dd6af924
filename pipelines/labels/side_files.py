"""metadata: the side files of [affect], read and checked once, as small Parquet tables that
workers join."""

import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.io import files
from pipelines.labels.config import TRAIN_MEDIAN, AffectConfig
from pipelines.labels.given import merge_given, read_given
from pipelines.labels.join import NAMES
from pipelines.labels.matches import MATCHES, merge_matches, read_match_list
from pipelines.labels.msd import read_tracks
from pipelines.labels.names import read_names
from pipelines.labels.own_labels import OwnLabels
from pipelines.labels.own_songs import (
    OWN,
    gives_classes,
    label_songs_by_table,
    label_tracks_by_table,
)
from pipelines.labels.people import AXES, PEOPLE
from pipelines.labels.splits import Shares
from pipelines.labels.tables import LABELS, REFUSED, LabelTable, prefer, read_labels
from pipelines.labels.tracks import TRACKS, merge_tracks, read_unique_tracks
from pipelines.layout import CURATE_LOCK
from schemas.manifest import Pin
from schemas.reject import BadInput
from schemas.settings import SettingsError


class SideFiles(NamedTuple):
    """folder: where metadata stands or is to stand; tables: what is to be written there
    (matches, tracks, labels, names, given, refused), none of another build's; pins: of the
    files read."""

    folder: str
    tables: dict[str, pa.Table]
    pins: list[Pin]


def read_metadata(config: AffectConfig, splits: Shares, corpus: str, out: str) -> SideFiles:
    """What the side files of [affect] and the published splits say.

    Where [affect] names no file and `corpus` is another build that has metadata, it is
    taken as it stands there. Raises SettingsError where a file is missing or is not what it
    is given for.
    """
    if corpus != out and not any(
        (
            config.matches,
            config.labels,
            config.msd,
            config.unique_tracks,
            config.names,
            config.own,
            config.people,
        )
    ):
        held = reusable(config, corpus)
        if held is not None:
            given, pins = read_given_splits(splits)
            return SideFiles(corpus, {"given": given}, [*held, *pins])
    tables, pins = read_side_files(config)
    given, more = read_given_splits(splits)
    return SideFiles(out, {**tables, "given": given}, [*pins, *more])


def read_given_splits(splits: Shares) -> tuple[pa.Table, list[Pin]]:
    """The published splits (GIVEN), and the hashes of their files."""
    pins: list[Pin] = []
    tables = [_read(path, read_given, pins, "splits.given") for path in splits.given]
    try:
        return merge_given(tables), pins
    except ValueError as error:
        raise SettingsError(f"splits.given: {error}") from error


def reusable(config: AffectConfig, corpus: str) -> list[Pin] | None:
    """The pins of another build's metadata; None where it has none."""
    path = files.join(corpus, CURATE_LOCK)
    held = json.loads(files.read_bytes(path)) if files.exists(path) else {}
    if not held:
        return None
    if held["config"]["affect"]["zero_is_missing"] != config.zero_is_missing:
        raise SettingsError(
            "affect.zero_is_missing decides how label tables are read: name affect.labels again with it"
        )
    return [Pin(**pin) for pin in held["metadata"]["pins"]]


def read_side_files(config: AffectConfig) -> tuple[dict[str, pa.Table], list[Pin]]:
    """The tables of [affect] by kind, and the hashes of the files they are from."""
    pins: list[Pin] = []

    def read(path: str, how: Callable[[bytes, str], Any]) -> Any:
        return _read(path, how, pins, "affect")

    # Scores are looked at when songs meet their matches: another split may ask for others.
    lists = [read(path, read_match_list) for path in config.matches]
    matches = merge_matches([one.matches for one in lists], 0.0)
    tables = [
        read(path, lambda data, name: read_labels(data, name, config.zero_is_missing))
        for path in config.labels
    ]
    for name, own in config.own.items():
        data = read(own.table, lambda data, _: data) if own.table else None
        tables += _own_by_track(name, own, data, config.threshold)
    tracks = (
        [read(config.msd, lambda data, name: read_tracks(data))]
        if is_summary(config.msd)
        else []
    )
    if config.msd and not tracks and not is_folder(config.msd):
        raise SettingsError(f"affect: no folder of MSD files at {config.msd}")
    tracks += (
        [read(config.unique_tracks, read_unique_tracks)] if config.unique_tracks else []
    )
    names = read(config.names, read_names) if config.names else NAMES.empty_table()
    by_people = {
        name: read(table.table, partial(_of_people, name, table))
        for name, table in config.people.items()
    }
    refused = pa.concat_tables(
        [
            REFUSED.empty_table(),
            *(table.refused for table in [*tables, *by_people.values()]),
        ]
    )
    named = [*(table.tracks for table in tables), *(one.tracks for one in lists)]
    known = merge_tracks([*tracks, *named])
    return {
        "matches": matches.cast(MATCHES),
        "labels": prefer(tables).cast(LABELS),
        "tracks": known.cast(TRACKS),
        "names": names.cast(NAMES),
        "refused": refused,
        "people": pa.concat_tables(
            [
                PEOPLE.empty_table(),
                *(_said(config.people[name], by_people[name]) for name in by_people),
            ]
        ),
    }, pins


def _read(
    path: str, how: Callable[[bytes, str], Any], pins: list[Pin], setting: str
) -> Any:
    """What a file says; raises SettingsError where it is missing or is not what it is given
    for."""
    try:
        data = files.read_bytes(path)
        name = PurePosixPath(path).name
        pins.append(Pin(name, len(data), hashlib.sha256(data).hexdigest()))
        return how(*unpacked(data, name))
    except OSError as error:
        raise SettingsError(
            f"{setting}: cannot read {path}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{setting}: {error}") from error
    except BadInput as error:
        raise SettingsError(
            f"{setting}: {path} is not MSD's summary file: {error.detail}"
        ) from error


def unpacked(data: bytes, name: str) -> tuple[bytes, str]:
    """The bytes and name of a file without its .xz or .gz; raises ValueError where it is
    not what its name says."""
    opened = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(
        PurePosixPath(name).suffix
    )
    if opened is None:
        return data, name
    try:
        return opened(data), PurePosixPath(name).stem
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} cannot be unpacked, fetch it again: {error}") from error


def _own_by_track(
    name: str, own: OwnLabels, data: bytes | None, threshold: float | str
) -> list[LabelTable]:
    """A table of one's own where it goes by MSD track, nothing where it goes by songs or
    there is only a pattern. Raises SettingsError where it cannot be used."""
    try:
        has_classes = gives_classes(own, data)
        table = None if data is None else label_tracks_by_table(name, own, data)
    except ValueError as error:
        raise SettingsError(f"affect.own.{name}: {error}") from error
    if has_classes and threshold == TRAIN_MEDIAN:
        raise SettingsError(
            f"affect.own.{name} gives classes or quadrants, which have no median: "
            "set affect.threshold = 0.5"
        )
    return [table] if table else []


def _of_people(name: str, table: OwnLabels, data: bytes, file_name: str) -> LabelTable:
    found = label_tracks_by_table(name, table, data)
    if found is None:
        raise ValueError(
            f"people.{name}: {file_name} lacks a column track_id of MSD tracks"
        )
    return found


def _said(table: OwnLabels, read: LabelTable) -> pa.Table:
    """PEOPLE of a table, null on the axes that it does not speak of."""
    nothing = pa.nulls(len(read.labels), pa.float64())
    axes = [read.labels[axis] if axis in table.axes else nothing for axis in AXES]
    return pa.table([read.labels["source"], read.labels["id"], *axes], PEOPLE)


def read_own(config: AffectConfig, songs: pa.Table) -> tuple[pa.Table, pa.Table]:
    """OWN and REFUSED of the tables of one's own that go by songs (SONG_NAMES); raises
    SettingsError where one cannot be used."""
    found, refused = [OWN.empty_table()], [REFUSED.empty_table()]
    for name, own in config.own.items():
        try:
            name_of_file = PurePosixPath(own.table).name
            data = (
                unpacked(files.read_bytes(own.table), name_of_file)[0]
                if own.table
                else None
            )
            if data is not None and label_tracks_by_table(name, own, data):
                continue
            table = label_songs_by_table(name, own, data, songs)
        except (OSError, ValueError) as error:
            raise SettingsError(f"affect.own.{name}: {error}") from error
        found.append(table.songs)
        refused.append(table.refused)
    return pa.concat_tables(found), pa.concat_tables(refused)


def is_summary(msd: str) -> bool:
    """Whether msd names MSD's summary file and not a folder of one file a track."""
    return msd.endswith(".h5")


def is_folder(path: str) -> bool:
    """Whether a folder stands under a path; elsewhere than on this machine, whether
    anything does."""
    return Path(path).is_dir() if files.is_local(path) else files.exists(path)
