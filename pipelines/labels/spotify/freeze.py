"""freeze-spotify: MSD tracks to a frozen table of Spotify's valence and energy, resumable.

A track is searched by title, artist and release, then by title and artist, then by the
plain words of both. Of what is found, the likeness to the track is the smaller of title and
artist likeness (names.similarity of the normal forms, the best of several artists); the
likest is taken, on a tie the one whose release, then whose written title, then whose
duration is nearer, then the one that Spotify ranks first. Under min_similarity nothing is
taken.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.labels.names import ARTIST, TITLE, normalise, normalise_one, similarity
from pipelines.labels.spotify.client import MAX_IDS, Found, SpotifyApi

TEXT, NUMBER = pa.string(), pa.float64()
FROZEN = pa.schema(
    [
        ("track_id", TEXT), ("spotify_id", TEXT), ("valence", NUMBER), ("energy", NUMBER), ("source", TEXT),
        ("query", TEXT), ("matched_artist", TEXT), ("matched_title", TEXT), ("matched_release", TEXT),
        ("similarity", NUMBER), ("date", TEXT),
    ]
)  # fmt: skip
GIVEN = "given id"


@dataclass(frozen=True)
class FreezeConfig:
    """min_similarity: how like title and artist must be, 0 to 1; search_limit: tracks
    asked for in a search."""

    min_similarity: float = 0.8
    search_limit: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.min_similarity <= 1:
            raise ValueError(
                f"min_similarity must lie in [0, 1], not {self.min_similarity}"
            )


def freeze(
    tracks: pa.Table,
    given: Mapping[str, str],
    api: SpotifyApi,
    out: str,
    config: FreezeConfig,
    today: str,
) -> pa.Table:
    """Fetch the valence and energy of tracks and write them to `out` (Parquet, FROZEN,
    sorted by track_id).

    tracks: TRACKS; given: Spotify ids by track_id, which are not searched; today: the date
    that stands on new rows. Every answer goes into `out`.journal at once, and what stands
    there is not asked again; a second call goes on where the first stopped. `out` is
    written when all is there. Raises SpotifyError where Spotify can give no more,
    ValueError where the journal was kept under other settings.
    """
    journal = _Journal(Path(f"{out}.journal"), config)
    with journal:
        waiting = [
            row
            for row in tracks.sort_by("track_id").to_pylist()
            if not journal.done(row["track_id"])
        ]
        for rows in _batches(waiting):
            for row in rows:
                if row["track_id"] not in journal.matches:
                    journal.add_match(
                        _match(row, given.get(row["track_id"]), api, config)
                        | {"date": today}
                    )
            ids = sorted(
                {journal.matches[row["track_id"]]["spotify_id"] for row in rows}
                - {None, *journal.features}
            )
            for spotify_id, values in (api.features(ids) if ids else {}).items():
                journal.add_features(spotify_id, values)
    table = _table(
        [journal.row(track_id) for track_id in sorted(set(tracks["track_id"].to_pylist()))]
    )
    pq.write_table(table, f"{out}.part", compression="zstd")
    os.replace(f"{out}.part", out)
    return table


def best_match(
    row: Mapping[str, Any], found: Sequence[Found]
) -> tuple[Found, float] | None:
    """The found track most like an MSD track (title and artist given, release and
    duration where known)."""
    title, *titles = normalise(
        pa.array([row["title"], *(one.title for one in found)]), TITLE
    ).to_pylist()
    artists = [row["artist"], *(name for one in found for name in one.artists)]
    artist, *names = normalise(pa.array(artists), ARTIST).to_pylist()
    ends = np.cumsum([0, *(len(one.artists) for one in found)])

    def rank(place: int) -> tuple[float, float, float, float, int]:
        one = found[place]
        by_artist = (
            similarity(artist, name) for name in names[ends[place] : ends[place + 1]]
        )
        likeness = min(similarity(title, titles[place]), max(by_artist, default=0.0))
        release = similarity((row["release"] or "").lower(), one.release.lower())
        gap = abs(one.seconds - row["duration"]) if row["duration"] else 0.0
        return (
            -round(likeness, 6),
            -release,
            -similarity(row["title"].lower(), one.title.lower()),
            gap,
            place,
        )

    if not found:
        return None
    likeness, *_, place = min(map(rank, range(len(found))))
    return found[place], -likeness


def queries(row: Mapping[str, Any]) -> Iterator[str]:
    """What to search for, most particular first."""
    title, artist, release = (
        _searchable(row[name] or "") for name in ("title", "artist", "release")
    )
    if release:
        yield f"track:{title} artist:{artist} album:{release}"
    yield f"track:{title} artist:{artist}"
    yield f"{normalise_one(row['artist'], ARTIST)} {normalise_one(row['title'], TITLE)}".strip()


def _match(
    row: Mapping[str, Any], given: str | None, api: SpotifyApi, config: FreezeConfig
) -> dict[str, Any]:
    """What stands in the journal for a track: the query that found it, or the last one
    where none did."""
    result = dict.fromkeys(
        (
            "query",
            "spotify_id",
            "matched_artist",
            "matched_title",
            "matched_release",
            "similarity",
        )
    )
    result["track_id"] = row["track_id"]
    if given:
        return result | {"spotify_id": given, "query": GIVEN}
    if not row["title"] or not row["artist"]:
        return result
    for query in queries(row):
        result["query"] = query
        best = best_match(row, api.search(query, config.search_limit))
        if best and best[1] >= config.min_similarity:
            found, likeness = best
            return result | {
                "spotify_id": found.spotify_id, "matched_artist": ", ".join(found.artists),
                "matched_title": found.title, "matched_release": found.release, "similarity": likeness,
            }  # fmt: skip
    return result


class _Journal:
    """The answers so far: one JSON object a line, appended as they come; a last line cut
    short is dropped."""

    def __init__(self, path: Path, config: FreezeConfig) -> None:
        self.path, self.config = path, config
        self.matches: dict[str, dict[str, Any]] = {}
        self.features: dict[str, list[float] | None] = {}

    def __enter__(self) -> "_Journal":
        kept = self._read()
        if kept is None:
            self.file = self.path.open("w", encoding="utf-8")
            self._write({"config": asdict(self.config)})
        else:
            os.truncate(self.path, kept)
            self.file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def done(self, track_id: str) -> bool:
        match = self.matches.get(track_id)
        return match is not None and (
            match["spotify_id"] is None or match["spotify_id"] in self.features
        )

    def add_match(self, match: dict[str, Any]) -> None:
        self.matches[match["track_id"]] = match
        self._write(match)

    def add_features(self, spotify_id: str, values: tuple[float, float] | None) -> None:
        self.features[spotify_id] = list(values) if values else None
        self._write({"features_of": spotify_id, "values": self.features[spotify_id]})

    def row(self, track_id: str) -> dict[str, Any]:
        match = self.matches[track_id]
        valence, energy = self.features.get(match["spotify_id"]) or (None, None)
        return {**match, "valence": valence, "energy": energy, "source": "spotify"}

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def _read(self) -> int | None:
        """Read what is there; gives the bytes that hold whole lines, None where there is no
        journal."""
        if not self.path.exists():
            return None
        data = self.path.read_bytes()
        kept = data.rfind(b"\n") + 1
        try:
            lines = [json.loads(line) for line in data[:kept].splitlines()]
            held = lines[0]["config"] if lines else None
            for line in lines[1:]:
                if "features_of" in line:
                    self.features[line["features_of"]] = line["values"]
                else:
                    self.matches[line["track_id"]] = line
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{self.path} is no journal of freeze-spotify: move it away"
            ) from error
        if lines and held != asdict(self.config):
            raise ValueError(
                f"{self.path} was kept under other settings, {held}: keep them or delete it"
            )
        return kept if lines else None


def _batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """A first batch of one track, so that a refusal costs one search and not a hundred;
    then MAX_IDS at a time."""
    if rows:
        yield rows[:1]
    for start in range(1, len(rows), MAX_IDS):
        yield rows[start : start + MAX_IDS]


def _searchable(name: str) -> str:
    """A name without what is a mark of Spotify's query language, no longer than its
    searches may be."""
    return " ".join("".join(" " if mark in '":' else mark for mark in name).split())[:80]


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table([[row[name] for row in rows] for name in FROZEN.names], FROZEN)
