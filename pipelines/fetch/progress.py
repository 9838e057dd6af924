"""How far a download or an unpacking has come: a bar on a terminal, plain lines
elsewhere."""

import sys

from tqdm import tqdm

from schemas.working import SECONDS_BETWEEN_LINES

SECONDS_BETWEEN_LOOKS = 0.2


def bar(doing: str, total: int | None, start: int = 0) -> tqdm:
    """A bar over bytes, of which `start` are there already; total None where it is not
    known."""
    terminal = sys.stderr.isatty()
    line = (
        "{desc}: {n_fmt}B of {total_fmt}B, {rate_fmt}, {remaining} left\n"
        if total
        else "{desc}: {n_fmt}B, {rate_fmt}\n"
    )
    return tqdm(
        total=total, initial=start, desc=doing, unit="B", unit_scale=True, file=sys.stderr, dynamic_ncols=terminal,
        mininterval=SECONDS_BETWEEN_LOOKS if terminal else SECONDS_BETWEEN_LINES,
        bar_format=None if terminal else line,
    )  # fmt: skip
