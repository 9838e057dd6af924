"""Tracks: the paper keeps songs that have a piano track."""

from collections.abc import Mapping
from typing import Any

from schemas.entries import FilterConfig
from schemas.song import PIANO


def check_piano(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """A piano track with at least one note."""
    return "no note on the piano track" if config.require_piano and not stats["track_notes"][PIANO] else None
