"""Signature: what ingest keeps of a song so that curate can find its duplicates."""

from typing import Any

from pipelines.dedupe.fingerprint import content_hash
from pipelines.dedupe.shingles import ShingleConfig, shingles
from schemas.grid import Grid
from schemas.song import Song

COLUMNS = ("content_hash", "shingles")


def compute(song: Song, grid: Grid, config: ShingleConfig) -> dict[str, Any]:
    """content_hash: exact, 32 hex digits or ""; shingles: uint64, rising."""
    return {"content_hash": content_hash(song, grid), "shingles": shingles(song.notes, config)}
