"""Length: at least so many seconds, bars and notes."""

from collections.abc import Mapping
from typing import Any

from schemas.entries import FilterConfig


def check_seconds(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """The paper asks for a minute."""
    return f"{stats['seconds']:.1f} s" if stats["seconds"] < config.min_seconds else None


def check_bars(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few bars to cut a training sequence from."""
    return f"{stats['n_bars']} bars" if stats["n_bars"] < config.min_bars else None


def check_notes(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few notes to be music; an empty song has none."""
    return f"{stats['n_notes']} notes" if stats["n_notes"] < config.min_notes else None
