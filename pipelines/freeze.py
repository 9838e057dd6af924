"""freeze-spotify: a list of MSD tracks to a frozen table of Spotify's valence and energy, for [affect] labels."""

import io
from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipelines.affect.freeze import FreezeConfig, freeze
from pipelines.affect.matches import merge_matches, read_matches
from pipelines.affect.msd import read_tracks
from pipelines.affect.spotify import Manners, SpotifyApi, SpotifyError
from pipelines.affect.tracks import conform, merge_tracks, read_unique_tracks
from pipelines.stages import files
from schemas.reject import BadInput, BuildFailed
from schemas.settings import SettingsError


def freeze_spotify(tracks: str, matches: Sequence[str], given: str, out: str, min_similarity: float, budget: int) -> pa.Table:
    """Fetch valence and energy of the tracks in a list, those of `matches` alone where match lists are given.

    tracks: unique_tracks.txt, MSD's summary file, a folder of MSD files, or CSV with track_id, artist, title; given: CSV
    of track_id and spotify_id, "" for none. Raises SettingsError for a file that is not what it is given for, BuildFailed
    where Spotify gives no more.
    """
    try:
        known = read_track_list(tracks)
        if matches:
            wanted = merge_matches([read_matches(files.read_bytes(path), path) for path in matches], 0.0)["track_id"]
            known = known.filter(pc.is_in(known["track_id"], wanted.combine_chunks()))
        ids = _given_ids(given) if given else {}
    except OSError as error:
        raise SettingsError(f"cannot read {error.filename}: {error.strerror}") from error
    except (ValueError, pa.ArrowException) as error:
        raise SettingsError(str(error)) from error
    except BadInput as bad:
        raise SettingsError(f"{tracks} is not MSD's HDF5: {bad.detail}") from bad
    if not known.num_rows:
        raise SettingsError(f"no track of {tracks} is to be fetched: check it and --matches")
    try:
        api = SpotifyApi(Manners(budget=budget))
        return freeze(known, ids, api, out, FreezeConfig(min_similarity=min_similarity), date.today().isoformat())
    except SpotifyError as error:
        raise BuildFailed(str(error)) from error


def read_track_list(path: str) -> pa.Table:
    """TRACKS of any list of MSD tracks."""
    if path.endswith(".h5"):
        return merge_tracks([read_tracks(files.read_bytes(path))])
    if path.endswith(".csv"):
        table = csv.read_csv(io.BytesIO(files.read_bytes(path)), parse_options=csv.ParseOptions(newlines_in_values=True))
        if not {"track_id", "artist", "title"} <= set(table.column_names):
            raise ValueError(f"{path} lacks one of the columns track_id, artist, title")
        return merge_tracks([conform(table.select([n for n in table.column_names if n in TEXTS]))])
    if path.endswith(".txt"):
        return merge_tracks([read_unique_tracks(files.read_bytes(path), path)])
    found = [info.path for info in files.BeamFiles().walk(path) if info.path.endswith(".h5")]
    return merge_tracks([read_tracks(files.BeamFiles().read(path, name)) for name in found])


TEXTS = ("track_id", "song_id", "artist", "title", "release")


def _given_ids(path: str) -> dict[str, str]:
    table = csv.read_csv(io.BytesIO(files.read_bytes(path)))
    if not {"track_id", "spotify_id"} <= set(table.column_names):
        raise ValueError(f"{path} lacks one of the columns track_id, spotify_id")
    return dict(zip(table["track_id"].to_pylist(), table["spotify_id"].to_pylist(), strict=True))
