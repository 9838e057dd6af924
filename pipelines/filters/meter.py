"""Meter: a bar that has more sixteenths than the vocabulary has Beats would lose its end."""

from collections.abc import Mapping
from typing import Any

from schemas.entries import FilterConfig


def check_bar_length(stats: Mapping[str, Any], config: FilterConfig) -> str | None:
    """The longest bar of a song, in sixteenths."""
    longest = stats["bar_sixteenths_max"]
    return f"a bar of {longest} sixteenths" if longest > config.max_bar_sixteenths else None
