"""The tables: Arrow schemas of songs, catalog, release, signatures and rejects.

Schemas are written out, never inferred from a first row. Every field carries its description,
from which the card and the Croissant file are made.
"""

import pyarrow as pa

from schemas.song import TRACKS

SCHEMA_VERSION = 2


def _field(
    name: str, kind: pa.DataType, description: str, nullable: bool = False
) -> pa.Field:
    return pa.field(name, kind, nullable, {"description": description})


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", kind, nullable=False))


SONGS = pa.schema(
    [
        _field("song_id", pa.string(), "source:key, unique"),
        _field("source", pa.string(), "corpus the song is from"),
        _field("source_key", pa.string(), "the song's name in its corpus"),
        _field("title", pa.string(), "title as the corpus gives it", nullable=True),
        _field(
            "artist",
            pa.string(),
            "artist or composer as the corpus gives it",
            nullable=True,
        ),
        _field(
            "genre", pa.string(), "genre or dance as the corpus gives it", nullable=True
        ),
        _field(
            "note_start",
            _list(pa.int32()),
            "onset of each note, ticks of 1/24 quarter, by (start, track, pitch)",
        ),
        _field("note_duration", _list(pa.int32()), "duration of each note, ticks"),
        _field("note_pitch", _list(pa.uint8()), "MIDI pitch of each note"),
        _field("note_velocity", _list(pa.uint8()), "velocity of each note, 1-127"),
        _field(
            "note_track",
            _list(pa.uint8()),
            "track of each note: " + ", ".join(f"{i} {n}" for i, n in enumerate(TRACKS)),
        ),
        _field("bar_start", _list(pa.int32()), "first tick of each bar"),
        _field("bar_length", _list(pa.int32()), "length of each bar, ticks"),
        _field("bar_numerator", _list(pa.uint8()), "numerator of each bar's meter"),
        _field("bar_denominator", _list(pa.uint8()), "denominator of each bar's meter"),
        _field(
            "tempo_start", _list(pa.int32()), "ticks where the tempo changes, the first 0"
        ),
        _field("tempo_bpm", _list(pa.float32()), "quarters a minute from there on"),
        _field(
            "meter_source",
            pa.string(),
            "where bars come from: downbeats, downbeats_then_assumed, midi_info, score, midi, tracked, estimated, assumed_4_4",
        ),
        _field("remi", _list(pa.uint16()), "REMI-923 tokens, no padding, EOS not stored"),
        _field(
            "remi_bar_offset", _list(pa.int32()), "n_bars + 1 offsets of each bar's tokens"
        ),
        _field(
            "rhythm_onsets",
            _list(pa.uint8()),
            "notes starting in each sixteenth, 16 a bar, at most 255",
        ),
        _field(
            "rhythm_sounding",
            _list(pa.uint8()),
            "notes sounding in each sixteenth, 16 a bar, at most 255",
        ),
        _field(
            "key",
            _list(pa.uint8()),
            "key of each bar: 0-11 C to B major, 12-23 C to B minor, 24 none",
        ),
        _field(
            "key_confidence", _list(pa.float32()), "how sure the key of each bar is, 0-1"
        ),
        _field("song_key", pa.uint8(), "key of the whole song, numbered as `key`"),
        _field("seconds", pa.float32(), "from the start to the last note's end"),
        _field("mean_bpm", pa.float32(), "tempo averaged over the song's ticks"),
        _field("n_notes", pa.int32(), "notes"),
        _field("n_bars", pa.int32(), "bars"),
        _field("bar_sixteenths_max", pa.int32(), "sixteenths in the longest bar"),
        _field("track_notes", _list(pa.int32()), "notes of each of the five tracks"),
        _field(
            "track_velocities",
            _list(pa.float32()),
            "mean velocity of each of the five tracks, 0 for an empty one",
        ),
        _field("n_tokens", pa.int32(), "REMI tokens"),
        _field("tokens_per_bar_max", pa.int32(), "REMI tokens of the longest bar"),
        _field("moved_onsets", pa.int32(), "notes whose onset the sixteenth grid moves"),
        _field("clipped_durations", pa.int32(), "notes cut to 16 sixteenths in the tokens"),
        _field(
            "dropped_pitches",
            pa.int32(),
            "notes outside pitches 21-108, left out of the tokens",
        ),
        _field(
            "dropped_positions",
            pa.int32(),
            "notes past a bar's 16th sixteenth, left out of the tokens",
        ),
        _field(
            "content_hash",
            pa.string(),
            "equal for the same notes in any key, at any loudness; empty without notes",
        ),
        _field("source_sha256", pa.string(), "sha256 of the bytes the song was read from"),
        _field(
            "meter_confidence",
            pa.float32(),
            "0-1, how well onsets keep tracked beats, or how likely an estimated meter is; else null",
            nullable=True,
        ),
        _field(
            "note_seconds",
            _list(pa.float32()),
            "onset of each note as played, seconds; empty where beats were not tracked",
        ),
        _field(
            "key_meta",
            _list(pa.uint8()),
            "key that the file states for each bar, numbered as `key`; empty where it states none",
        ),
        _field(
            "rounded_onsets",
            pa.int32(),
            "notes whose onset is no whole tick in the file (MIDI)",
        ),
        _field(
            "unplaced_notes", pa.int32(), "notes of programs that no track takes (MIDI)"
        ),
        _field(
            "doubled_notes",
            pa.int32(),
            "notes that another of the same onset, pitch and track hides (MIDI)",
        ),
        _field(
            "is_cut",
            pa.bool_(),
            "cut out of a longer piece: its end is no ending",
        ),
        _field(
            "folder_track_ids",
            _list(pa.string()),
            "MSD tracks under which the corpus's folders file the song",
        ),
    ]
)


VERDICTS = [
    _field("split", pa.string(), "train, validation or test"),
    _field(
        "group_id",
        pa.string(),
        "songs of one group stand in one split: smallest song_id of the group",
    ),
    _field(
        "cluster_id",
        pa.string(),
        "duplicates of one piece: smallest song_id of the cluster",
    ),
    _field(
        "group_keys",
        _list(pa.string()),
        "tracks, MSD songs and names of all matches of the song and its duplicates: none "
        "stands in two splits",
    ),
    _field(
        "duplicates",
        _list(pa.string()),
        "song_id of the removed duplicates this song stands for",
    ),
    _field(
        "label_rank",
        pa.float64(),
        "in [0, 1) by hash: labels with rank under p are a share p, nested",
    ),
    _field(
        "judge", pa.bool_(), "set aside for training evaluation classifiers, not generators"
    ),
    _field(
        "msd_track_id", pa.string(), "matched Million Song Dataset track", nullable=True
    ),
    _field("msd_title", pa.string(), "title of the matched track", nullable=True),
    _field("msd_artist", pa.string(), "artist of the matched track", nullable=True),
    _field(
        "match_score",
        pa.float32(),
        "how well the match fits, where the match list says",
        nullable=True,
    ),
    _field(
        "match_margin",
        pa.float32(),
        "its lead over the best match of another title",
        nullable=True,
    ),
    _field(
        "valence",
        pa.float32(),
        "0-1, from the label table, 0 or 1 where it gives classes",
        nullable=True,
    ),
    _field(
        "arousal",
        pa.float32(),
        "0-1, from the label table, 0 or 1 where it gives classes; Spotify's is its energy",
        nullable=True,
    ),
    _field(
        "valence_class",
        pa.int8(),
        "1 above the threshold, 0 below, null unlabelled",
        nullable=True,
    ),
    _field(
        "arousal_class",
        pa.int8(),
        "1 above the threshold, 0 below, null unlabelled",
        nullable=True,
    ),
    _field(
        "quadrant",
        pa.string(),
        "happy A1V1, tense A1V0, sad A0V0, calm A0V1",
        nullable=True,
    ),
    _field("label_source", pa.string(), "table and rule the label is from", nullable=True),
    _field(
        "label_spread",
        pa.float32(),
        "largest range of valence or energy among the song's matches, or its duplicates' labels",
        nullable=True,
    ),
    _field(
        "label_trust",
        pa.float32(),
        "0-1, how likely the matched title is the song's; less often the artist is right too",
        nullable=True,
    ),
    _field(
        "match_agreeing",
        pa.int32(),
        "further matches with the matched title",
        nullable=True,
    ),
    _field("match_rivals", pa.int32(), "matches with another title", nullable=True),
    _field(
        "artist_titles",
        pa.int32(),
        "titles of the matched artist in the whole match list",
        nullable=True,
    ),
    _field(
        "near_other_titles",
        pa.int32(),
        "near-duplicates that are matched to another title",
        nullable=True,
    ),
    _field(
        "same_title_containment",
        pa.float32(),
        "0-1, largest share of n-grams in common with another file of the matched title",
        nullable=True,
    ),
    _field("label_evidence", _list(pa.string()), "what label_trust is made of"),
    _field(
        "trusted", pa.bool_(), "labelled, and label_trust is at least affect.trusted_from"
    ),
    _field("unlabelled", pa.string(), "why the song has no label", nullable=True),
]


CATALOG = pa.schema(
    [
        SONGS.field("song_id"),
        SONGS.field("source"),
        _field("kept", pa.bool_(), "in the release"),
        _field(
            "failed",
            _list(pa.string()),
            "every rule the song fails, in the registry's order",
        ),
        _field("detail", pa.string(), "what the failed rules say, in the same order"),
        *VERDICTS,
    ]
)


RELEASE = pa.schema([*SONGS, *VERDICTS])


SIGNATURES = pa.schema(
    [
        SONGS.field("song_id"),
        _field(
            "shingles",
            _list(pa.uint64()),
            "hashes of the song's n-grams, rising, for near-duplicates",
        ),
    ]
)


REJECTS = pa.schema(
    [
        _field("song_id", pa.string(), "the song that left"),
        _field("source", pa.string(), "its corpus"),
        _field("stage", pa.string(), "ingest or curate"),
        _field("reason", pa.string(), "one word of the closed list in schemas/reject.py"),
        _field("detail", pa.string(), "the particulars"),
    ]
)


# Columns that filters, labels and reports read: no list as long as the song.
STATISTICS = [
    field.name
    for field in SONGS
    if not pa.types.is_list(field.type) or field.name.startswith(("track_", "folder_"))
]


def described(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """Type and description of each column, as a manifest has them."""
    return {
        field.name: {
            "type": str(field.type),
            "description": field.metadata[b"description"].decode(),
        }
        for field in schema
    }
