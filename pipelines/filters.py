"""The rules that keep a song or say why not: each a function of its statistics, in the order in
which they are asked."""

from collections.abc import Mapping
from typing import Any

from schemas.contracts import FilterConfig
from schemas.song import PIANO


def check_piano(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """A piano track with at least one note, as the paper asks."""
    return (
        "no note on the piano track"
        if config.require_piano and not stats["track_notes"][PIANO]
        else None
    )


def check_seconds(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """The paper asks for a minute."""
    return f"{stats['seconds']:.1f} s" if stats["seconds"] < config.min_seconds else None


def check_bars(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few bars to cut a training sequence from."""
    return f"{stats['n_bars']} bars" if stats["n_bars"] < config.min_bars else None


def check_notes(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few notes to be music; an empty song has none."""
    return f"{stats['n_notes']} notes" if stats["n_notes"] < config.min_notes else None


def check_bar_length(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """The longest bar of a song, in sixteenths: one that has more than the vocabulary has Beats
    would lose its end."""
    longest = stats["bar_sixteenths_max"]
    return f"a bar of {longest} sixteenths" if longest > config.max_bar_sixteenths else None
