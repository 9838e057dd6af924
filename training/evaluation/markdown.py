"""Markdown of reports: tables, and numbers with what they may be off by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.markdown import table

CEILING_SAYS = (
    "Real songs are the ceiling (95 % intervals over songs; a song by the mean of its windows; single windows balanced, and "
    "plain of quadrants), the majority is the floor."
)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that a paragraph may follow."""
    return table(head, rows) + "\n"


def document(parts: Sequence[str]) -> str:
    """Parts with a blank line between."""
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """A figure, a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def between(value: float, ends: Sequence[float]) -> str:
    """A figure and its interval."""
    return f"{number(value)} ({number(ends[0])}–{number(ends[1])})"


def ranged(spread: Mapping[str, float] | None, digits: int = 2) -> str:
    """A mean over seeds, with the least and the most."""
    if spread is None:
        return "–"
    return f"{number(spread['mean'], digits)} ({number(spread['least'], digits)}–{number(spread['most'], digits)})"


def judges_table(report: Mapping[str, Any], caption: str) -> str:
    """What judges.ceiling or judges.verdicts reports, a line a judge and axis."""
    rows = []
    for judge, axes in report.items():
        for axis, found in axes.items():
            told = [_with_interval(found, name) for name in ("accuracy", "balanced", "auc")]
            windows = number(found.get("window_balanced", found.get("window_accuracy")))
            rows.append(
                [
                    judge,
                    axis,
                    *told,
                    windows,
                    number(found.get("majority")),
                    str(found["n"]),
                ]
            )
    return f"{caption}\n\n{grid(['judge', 'axis', 'accuracy', 'balanced', 'AUC', 'single windows', 'majority', 'n'], rows)}"


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    ends = found.get(f"{name}_interval")
    return between(found[name], ends) if ends else number(found.get(name))
