"""From songs, matches, tracks, labels and names to one labelled row a song: the join of
[affect] as plain functions.

Two joins, each of small tables, each of which may be cut into buckets anywhere between its
keys: join_tracks by MSD track, label_songs by md5. join_all does both in memory.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.config import AffectConfig
from pipelines.labels.corroboration import ALIKE, COUNTS, corroborate, works_of
from pipelines.labels.matches import MATCHES, margin_to_runner_up
from pipelines.labels.names import ARTIST, TITLE, normalise, similarities
from pipelines.labels.resolve import CANDIDATES, resolve
from pipelines.labels.settle import settle
from pipelines.labels.tables import LABELS
from pipelines.labels.tracks import TRACKS
from pipelines.labels.trust import EVIDENCE, SAME_NAME

TEXT, NUMBER = pa.string(), pa.float64()
NAMES = pa.schema([("md5", TEXT), ("artist", TEXT), ("title", TEXT)])
# How well a match's recording and a song's notes fit (chroma.chroma_fit), where both were
# at hand.
CHROMA = pa.schema([("md5", TEXT), ("track_id", TEXT), ("chroma", NUMBER)])
# What label_songs reads of a song; md5 is null for songs that no match list knows.
SONG_COLUMNS = ("song_id", "md5", "seconds", "mean_bpm", "song_key")
# A match with all that is known of its track and its label.
JOINED = pa.schema([*MATCHES, *list(TRACKS)[1:], *list(LABELS)[2:]])
# One row a song: the match that it takes and all that is known for and against it, before
# other songs are asked (corroboration) and before anything is refused (settle). own: the
# label is one that a table gives by md5.
MATCHED = pa.schema(
    [
        ("song_id", TEXT), ("msd_track_id", TEXT), ("msd_title", TEXT), ("msd_artist", TEXT),
        ("match_score", NUMBER), ("match_margin", NUMBER), ("valence", NUMBER), ("arousal", NUMBER),
        ("label_source", TEXT), ("label_spread", NUMBER), ("unlabelled", TEXT), ("own", pa.bool_()),
        *(field for field in EVIDENCE if field.name not in COUNTS.names),
    ]
)  # fmt: skip
NO_MATCH = "no match"


@dataclass(frozen=True, eq=False)
class Inputs:
    """The small tables of [affect]: MATCHES, TRACKS, LABELS (of tables.prefer), NAMES and
    CHROMA, any of them empty."""

    matches: pa.Table = field(default_factory=MATCHES.empty_table)
    tracks: pa.Table = field(default_factory=TRACKS.empty_table)
    labels: pa.Table = field(default_factory=LABELS.empty_table)
    names: pa.Table = field(default_factory=NAMES.empty_table)
    chroma: pa.Table = field(default_factory=CHROMA.empty_table)


def join_all(
    songs: pa.Table,
    inputs: Inputs,
    config: AffectConfig,
    pairs: pa.Table | None = None,
    alike: pa.Table | None = None,
) -> pa.Table:
    """LABELLED for all songs (SONG_COLUMNS), in memory.

    pairs: song_ids a and b of near-duplicates; alike: ALIKE; none where they are not given.
    """
    by_track = inputs.labels.filter(pc.equal(inputs.labels["key"], "track_id"))
    by_md5 = inputs.labels.filter(pc.equal(inputs.labels["key"], "md5"))
    joined = join_tracks(inputs.matches, inputs.tracks, by_track)
    matched = label_songs(songs, joined, by_md5, inputs.names, inputs.chroma, config)
    nothing = ALIKE.empty_table()
    counts = corroborate(matched, works_of(joined), pairs or nothing, alike or nothing)
    return settle(matched, counts, config)


def join_tracks(matches: pa.Table, tracks: pa.Table, labels: pa.Table) -> pa.Table:
    """Every match with what is known of its track and its label: JOINED, null where nothing
    is.

    matches: MATCHES; tracks: TRACKS, one row a track; labels: LABELS by track_id, one row a
    track.
    """
    track = tracks.take(
        pc.index_in(matches["track_id"], tracks["track_id"].combine_chunks())
    )
    label = labels.take(pc.index_in(matches["track_id"], labels["id"].combine_chunks()))
    columns = {**_columns(label), **_columns(track), **_columns(matches)}
    return pa.table([columns[name] for name in JOINED.names], JOINED)


def label_songs(
    songs: pa.Table,
    joined: pa.Table,
    labels: pa.Table,
    names: pa.Table,
    chroma: pa.Table,
    config: AffectConfig,
) -> pa.Table:
    """MATCHED, one row a song in the order of songs (SONG_COLUMNS), all decided from the
    rows of its md5.

    joined: JOINED; labels: LABELS by md5, which go before any match's; names: NAMES;
    chroma: CHROMA. Raises ValueError where an md5 stands on two songs.
    """
    known = songs["md5"].filter(pc.is_valid(songs["md5"]))
    if pc.count_distinct(known).as_py() != len(known):
        raise ValueError(
            "an md5 stands on two songs: label each source's songs by themselves"
        )
    # One chunk: a table put together from many costs each pattern of the names anew for
    # every piece.
    joined = joined.filter(pc.is_in(joined["md5"], known.combine_chunks())).combine_chunks()
    likeness = _likeness(joined, names)
    candidates = _candidates(joined, _named(joined["md5"], **likeness))
    choices = resolve(candidates, config)
    at = pc.index_in(songs["md5"], choices["md5"].combine_chunks())
    chosen = choices.take(at)
    matched = _matched(songs, chosen, joined, likeness, chroma)
    return _with_own_labels(matched, songs["md5"], labels)


def _likeness(joined: pa.Table, names: pa.Table) -> dict[str, pa.Array]:
    """For each match, how alike its track's title and artist are to the true ones; null
    where these are not known."""
    true = names.take(pc.index_in(joined["md5"], names["md5"].combine_chunks()))
    return {
        f"{part}_likeness": pa.array(
            similarities(
                normalise(joined[part], part).to_pylist(),
                normalise(true[part], part).to_pylist(),
            ),
            NUMBER,
        )
        for part in (TITLE, ARTIST)
    }


def _named(
    md5: pa.ChunkedArray, title_likeness: pa.Array, artist_likeness: pa.Array
) -> pa.Array:
    """Whether each match is of the true title, and by its artist where one of its md5
    is; null where it is not known."""
    title = pc.greater_equal(title_likeness, SAME_NAME)
    both = pc.and_(title, pc.fill_null(pc.greater_equal(artist_likeness, SAME_NAME), False))
    by_artist = pc.is_in(md5, md5.filter(pc.fill_null(both, False)).combine_chunks())
    return pc.if_else(by_artist, both, title)


def _candidates(joined: pa.Table, named: pa.Array) -> pa.Table:
    """CANDIDATES of JOINED: titles in their normal form, and the margin of each match
    over other titles."""
    title = normalise(joined["title"], TITLE)
    rows = np.arange(len(joined))
    md5, work = (
        column.combine_chunks().dictionary_encode().indices
        for column in (joined["md5"], title)
    )
    codes = np.where(pc.is_valid(work), work.fill_null(-1), len(rows) + rows)
    margin = margin_to_runner_up(md5.to_numpy(), codes, joined["score"].to_numpy())
    columns = {
        **_columns(joined), "margin": pa.array(margin, NUMBER, from_pandas=True), "title": title,
        "named": named,
    }  # fmt: skip
    return pa.table([columns[name] for name in CANDIDATES.names], CANDIDATES)


def _matched(
    songs: pa.Table,
    chosen: pa.Table,
    joined: pa.Table,
    likeness: dict[str, pa.Array],
    chroma: pa.Table,
) -> pa.Table:
    """MATCHED of each song's chosen match, in the order of songs; null throughout where it
    has none."""
    pair = _pairs(chosen["md5"], chosen["msd_track_id"])
    at = pc.index_in(pair, _pairs(joined["md5"], joined["track_id"]).combine_chunks())
    heard = pc.index_in(pair, _pairs(chroma["md5"], chroma["track_id"]).combine_chunks())
    track = joined.take(at)
    minor = pc.subtract(1, track["mode"])
    columns = {
        **_columns(chosen), "song_id": songs["song_id"],
        "msd_title": track["title"], "msd_artist": track["artist"],
        "unlabelled": pc.if_else(pc.is_null(chosen["md5"]), NO_MATCH, chosen["unlabelled"]),
        "own": pa.array(np.zeros(len(songs), bool)),
        **{name: column.take(at) for name, column in likeness.items()},
        "song_seconds": songs["seconds"], "track_seconds": track["duration"],
        "song_bpm": songs["mean_bpm"], "track_bpm": track["tempo"],
        "song_key": songs["song_key"], "track_key": pc.add(track["key"], pc.multiply(minor, 12)),
        "chroma": chroma["chroma"].take(heard),
    }  # fmt: skip
    return pa.table(
        {field.name: pc.cast(columns[field.name], field.type) for field in MATCHED}
    )


def _with_own_labels(matched: pa.Table, md5: pa.ChunkedArray, labels: pa.Table) -> pa.Table:
    """matched with the labels that tables give by md5 before all others: no match stands
    between them and the song."""
    own = labels.take(pc.index_in(md5, labels["id"].combine_chunks()))
    has = pc.is_valid(own["id"])
    given = {
        "valence": own["valence"],
        "arousal": own["arousal"],
        "label_source": pc.binary_join_element_wise(own["source"], "md5", ":"),
        "unlabelled": pa.scalar(None, TEXT),
        "own": pa.scalar(True),
    }
    columns = _columns(matched)
    columns |= {
        name: pc.if_else(has, value, columns[name]) for name, value in given.items()
    }
    return pa.table([columns[name] for name in MATCHED.names], MATCHED)


def _pairs(md5: pa.ChunkedArray, track_id: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(md5, track_id, " ")


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))
