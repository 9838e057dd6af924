"""Filters: the rules that keep a song or say why not.

A new one is a function of a song's statistics here, a line in FILTERS, and its threshold in
FilterConfig.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from schemas.contracts import Filter
from schemas.song import PIANO


@dataclass(frozen=True)
class FilterConfig:
    """Thresholds of one source's songs; each rule reads its own.

    max_bar_sixteenths: the vocabulary has 16; drop_duplicates: keep one song of each
    duplicate cluster.
    """

    min_seconds: float = 0.0
    min_bars: int = 1
    min_notes: int = 1
    require_piano: bool = False
    max_bar_sixteenths: int = 16
    drop_duplicates: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(
                    f"{field.name} must be 0 or more, not {getattr(self, field.name)}"
                )


def check_piano(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """A piano track with at least one note, as the paper asks."""
    if config.require_piano and not stats["track_notes"][PIANO]:
        return "no note on the piano track"
    return None


def check_seconds(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """The paper asks for a minute."""
    if stats["seconds"] < config.min_seconds:
        return f"{stats['seconds']:.1f} s"
    return None


def check_bars(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few bars to cut a training sequence from."""
    if stats["n_bars"] < config.min_bars:
        return f"{stats['n_bars']} bars"
    return None


def check_notes(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """Too few notes to be music; an empty song has none."""
    if stats["n_notes"] < config.min_notes:
        return f"{stats['n_notes']} notes"
    return None


def check_bar_length(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """A bar with more sixteenths than the vocabulary has Beats would lose its end."""
    longest = stats["bar_sixteenths_max"]
    if longest > config.max_bar_sixteenths:
        return f"a bar of {longest} sixteenths"
    return None


# In the order in which a song's first failing rule becomes the reason of its Reject.
FILTERS = (
    Filter("no_piano", check_piano),
    Filter("too_short", check_seconds),
    Filter("too_few_bars", check_bars),
    Filter("too_few_notes", check_notes),
    Filter("bar_too_long", check_bar_length),
)
