"""What songs are known by: the keys by which two of them may be one piece, and which of
these are sure.

A key is a track, an MSD song, or artist and title. It is sure where it is of the match that
a song takes, or of its true or own name: songs of one sure key stand in one group. The keys
of matches that were not taken are doubtful. Closed over too, they percolate: a corpus large
enough becomes one group (tests/bench/group_growth.py). They tie songs instead: of two songs
that one ties across splits, none stands in evaluation.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.names import ARTIST, TITLE, normalise

TEXT = pa.string()
KEYS = pa.schema([("song_id", TEXT), ("key", TEXT), ("sure", pa.bool_())])
LINKS = pa.schema([("a", TEXT), ("b", TEXT)])


def group_keys(
    songs: pa.Table, joined: pa.Table, names: pa.Table, msd_track_id: pa.ChunkedArray
) -> pa.Table:
    """What each song is known by (KEYS, sorted, each once): its tracks, their MSD songs,
    and artist and title of all.

    songs: song_id, md5, artist and title as the corpus gives them; joined: label.JOINED;
    names: label.NAMES; msd_track_id: of the match that each song takes, in the order of
    songs.
    """
    track = joined.append_column("name", _name(joined))
    at = pc.index_in(track["md5"], songs["md5"].combine_chunks())
    taken = pc.fill_null(pc.equal(track["track_id"], msd_track_id.take(at)), False)
    tables = [
        *(
            _keyed(songs, track["md5"], track[column], column, taken)
            for column in ("track_id", "song_id", "name")
        ),
        _keyed(songs, names["md5"], _name(names), "name", _all(names)),
        _sure(songs["song_id"], "name", _name(songs)),
    ]
    keys = pa.concat_tables(tables)
    keys = keys.filter(pc.is_valid(keys["key"])).group_by(
        ["song_id", "key"], use_threads=False
    )
    merged = keys.aggregate([("sure", "max")]).rename_columns(KEYS.names)
    return merged.sort_by([(name, "ascending") for name in KEYS.names])


def artist_keys(
    songs: pa.Table, joined: pa.Table, msd_track_id: pa.ChunkedArray
) -> pa.Table:
    """The artist of each song (KEYS), for splits by artist: of its chosen track, else as
    the corpus gives it.

    Of the chosen track alone: over all matches, the doubtful ones would make most songs one
    group. msd_track_id: in the order of songs.
    """
    track = joined.take(pc.index_in(msd_track_id, joined["track_id"].combine_chunks()))
    artist = normalise(pc.coalesce(track["artist"], songs["artist"]), ARTIST)
    keys = _sure(songs["song_id"], "artist", artist)
    return keys.filter(pc.greater(pc.utf8_length(keys["key"]), len("artist:")))


def linked(keys: pa.Table) -> pa.Table:
    """LINKS from the smallest song_id of each sure key to every other that has it surely."""
    keys = keys.filter(keys["sure"])
    if not len(keys):
        return LINKS.empty_table()
    keys = keys.sort_by([("key", "ascending"), ("song_id", "ascending")])
    code = keys["key"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.maximum.accumulate(
        np.where(np.diff(code, prepend=-1) != 0, np.arange(len(code)), 0)
    )
    other = first != np.arange(len(code))
    return pa.table(
        [keys["song_id"].take(first[other]), keys["song_id"].filter(pa.array(other))], LINKS
    )


def _name(table: pa.Table) -> pa.ChunkedArray:
    """Artist and title in normal form, null where either is missing or has no letter."""
    artist, title = (normalise(table[part], part) for part in (ARTIST, TITLE))
    said = pc.and_(pc.not_equal(artist, ""), pc.not_equal(title, ""))
    return pc.if_else(
        said, pc.binary_join_element_wise(artist, title, "|"), pa.scalar(None, TEXT)
    )


def _keyed(
    songs: pa.Table,
    md5: pa.ChunkedArray,
    value: pa.ChunkedArray,
    kind: str,
    sure: pa.ChunkedArray,
) -> pa.Table:
    song = songs["song_id"].take(pc.index_in(md5, songs["md5"].combine_chunks()))
    keys = pa.table([song, pc.binary_join_element_wise(kind, value, ":"), sure], KEYS)
    return keys.filter(pc.is_valid(keys["song_id"]))


def _sure(song_id: pa.ChunkedArray, kind: str, value: pa.ChunkedArray) -> pa.Table:
    """KEYS of values of the songs themselves."""
    key = pc.binary_join_element_wise(kind, value, ":")
    return pa.table([song_id, key, _all(song_id)], KEYS)


def _all(rows: pa.Table | pa.ChunkedArray) -> pa.Array:
    return pa.array(np.ones(len(rows), bool))
