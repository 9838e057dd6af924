"""freeze-spotify: a list of MSD tracks to a frozen table of Spotify's valence and
energy, for [affect] labels."""

import io
import sys
from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipelines.io import files
from pipelines.labels.matches import merge_matches, read_matches
from pipelines.labels.msd import read_tracks
from pipelines.labels.spotify.client import Manners, SpotifyApi, SpotifyError
from pipelines.labels.spotify.freeze import FreezeConfig, freeze
from pipelines.labels.tracks import conform, merge_tracks, read_unique_tracks
from schemas.reject import BadInput, BuildFailed
from schemas.settings import SettingsError

# What a CSV of tracks may say of them.
TEXTS = ("track_id", "song_id", "artist", "title", "release")
MOST_NAMED = 20


def freeze_spotify(
    tracks: str,
    matches: Sequence[str],
    given: str,
    out: str,
    min_similarity: float,
    budget: int,
) -> pa.Table:
    """Fetch valence and energy of the tracks in a list, those of `matches` alone where
    match lists are given.

    tracks: unique_tracks.txt, MSD's summary file, a folder of MSD files, or CSV with
    track_id, artist, title; given: CSV of track_id and spotify_id, "" for none. Files of a
    folder that are damaged are named on stderr and left out. Raises SettingsError for a
    file that is not what it is given for, BuildFailed where Spotify gives no more.
    """
    try:
        known, damaged = read_track_list(tracks)
        if damaged:
            print(damaged_text(damaged), file=sys.stderr)
        if matches:
            wanted = merge_matches(
                [read_matches(files.read_bytes(path), path) for path in matches], 0.0
            )["track_id"]
            known = known.filter(pc.is_in(known["track_id"], wanted.combine_chunks()))
        ids = given_ids(given) if given else {}
    except OSError as error:
        raise SettingsError(
            f"cannot read {error.filename or tracks}: {error.strerror or error}"
        ) from error
    except (ValueError, pa.ArrowException) as error:
        raise SettingsError(str(error)) from error
    except BadInput as bad:
        raise SettingsError(f"{tracks} is not MSD's HDF5: {bad.detail}") from bad
    if not known.num_rows:
        raise SettingsError(
            f"no track of {tracks} is to be fetched: check it and --matches"
        )
    try:
        config = FreezeConfig(min_similarity=min_similarity)
        return freeze(
            known,
            ids,
            SpotifyApi(Manners(budget=budget)),
            out,
            config,
            date.today().isoformat(),
        )
    except SpotifyError as error:
        raise BuildFailed(str(error)) from error
    except OSError as error:
        raise SettingsError(
            f"cannot write {error.filename or out}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise SettingsError(str(error)) from error


def read_track_list(path: str) -> tuple[pa.Table, dict[str, str]]:
    """TRACKS of any list of MSD tracks; and of a folder, its files that could not be
    read, with why."""
    if path.endswith(".h5"):
        return merge_tracks([read_tracks(files.read_bytes(path))]), {}
    if path.endswith(".csv"):
        table = _columns(path, TEXTS, ("track_id", "artist", "title"))
        return merge_tracks(
            [conform(table.select([name for name in table.column_names if name in TEXTS]))]
        ), {}
    if path.endswith(".txt"):
        return merge_tracks([read_unique_tracks(files.read_bytes(path), path)]), {}
    tables, damaged = [], {}
    for info in files.BeamFiles().walk(path):
        if info.path.endswith(".h5"):
            try:
                tables.append(read_tracks(files.BeamFiles().read(path, info.path)))
            except (OSError, BadInput) as error:
                damaged[info.path] = (
                    error.detail
                    if isinstance(error, BadInput)
                    else str(error.strerror or error)
                )
    return merge_tracks(tables), damaged


def damaged_text(damaged: Mapping[str, str]) -> str:
    """How many files were left out, and the first of them by name with why."""
    named = [f"  {name}: {why}" for name, why in list(damaged.items())[:MOST_NAMED]]
    more = (
        [f"  and {len(damaged) - len(named):,} more"] if len(damaged) > len(named) else []
    )
    return "\n".join(
        [f"{len(damaged):,} files are no MSD tracks and are left out:", *named, *more]
    )


def given_ids(path: str) -> dict[str, str]:
    """Spotify's id of each track that a CSV gives one."""
    table = _columns(path, ("track_id", "spotify_id"), ("track_id", "spotify_id"))
    return dict(
        zip(table["track_id"].to_pylist(), table["spotify_id"].to_pylist(), strict=True)
    )


def _columns(path: str, texts: Sequence[str], needed: Sequence[str]) -> pa.Table:
    """A CSV file, its columns `texts` as they are written; raises ValueError where a
    needed one is not there."""
    parse = csv.ParseOptions(newlines_in_values=True)
    convert = csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    table = csv.read_csv(
        io.BytesIO(files.read_bytes(path)), parse_options=parse, convert_options=convert
    )
    if not set(needed) <= set(table.column_names):
        raise ValueError(f"{path} lacks one of the columns {', '.join(needed)}")
    return table
