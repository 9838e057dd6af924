"""One label of one's own at a time: what its columns say, as valence and arousal in [0, 1], or
why it is refused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.labels.own_labels import AXES, OwnLabels
from pipelines.labels.tables import REFUSED
from schemas.labels import QUADRANT_CLASSES

# Russell's quadrants as numbers, from high valence and high arousal against the clock.
QUADRANT_NUMBERS = {"1": "happy", "2": "tense", "3": "sad", "4": "calm"}
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
SPLITS = ("train", "validation", "test")


@dataclass
class Row:
    """One label on its way: its number in the table (0 for a name), what it is about, what
    its columns say, its values, and why it is refused."""

    number: int
    named: str
    says: dict[str, str]
    song: str | None = None
    values: tuple[float, float] | None = None
    why: str | None = None


def judge(row: Row, own: OwnLabels) -> None:
    """Set the values of a row, or why it is refused."""
    if row.why:
        return
    try:
        row.values = _values(row.says, own)
        split = row.says.get("split", "").lower()
        if split:
            row.says["split"] = SPLIT_NAMES.get(split, split)
            if row.says["split"] not in SPLITS:
                raise ValueError(f"its split is none: {split}")
    except ValueError as error:
        row.why = str(error)


def _values(says: Mapping[str, str], own: OwnLabels) -> tuple[float, float] | None:
    """Valence and arousal in [0, 1], or as they stand where they are ranked later; None
    where nothing is said. Raises ValueError for what cannot be."""
    if "quadrant" in says or "emotion" in says:
        high_arousal, high_valence = QUADRANT_CLASSES[_quadrant(says, own)]
        return float(high_valence), float(high_arousal)
    classes = [says.get(f"{axis}_class") for axis in AXES]
    if all(classes) and not set(AXES) <= says.keys():
        if not set(classes) <= {"0", "1"}:
            raise ValueError(f"a class is neither 0 nor 1: {' '.join(map(str, classes))}")
        return float(classes[0] or 0), float(classes[1] or 0)
    given = [says.get(axis) for axis in AXES]
    if not any(given):
        return None
    if not all(given):
        raise ValueError("it has valence or arousal and not both")
    valence, arousal = (
        _scaled(axis, str(value), own.scale)
        for axis, value in zip(AXES, given, strict=True)
    )
    return valence, arousal


def _quadrant(says: Mapping[str, str], own: OwnLabels) -> str:
    if "quadrant" in says:
        word = says["quadrant"].lower()
        name = QUADRANT_NUMBERS.get(word.removeprefix("q"), word)
    else:
        word = says["emotion"]
        name = own.emotions.get(word, own.emotions.get(word.lower(), ""))
    if name not in QUADRANT_CLASSES:
        raise ValueError(f"no quadrant is known for it: {word[:40]}")
    return name


def _scaled(axis: str, text: str, scale: tuple[float, ...] | str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{axis} is not a number: {text[:40]}") from error
    if not np.isfinite(value):
        raise ValueError(f"{axis} is not a number: {text[:40]}")
    if isinstance(scale, str):
        return value
    low, high = scale
    if not low <= value <= high:
        raise ValueError(f"{axis} is outside its scale {low:g} to {high:g}: {text[:40]}")
    return (value - low) / (high - low)


def refuse_doubled(rows: list[Row]) -> None:
    """Of rows about one song, all where they differ, else all but the first."""
    about: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.song and not row.why:
            about[row.song].append(row)
    for same in about.values():
        differ = any(
            (row.values, row.says.get("group"), row.says.get("split"))
            != (same[0].values, same[0].says.get("group"), same[0].says.get("split"))
            for row in same
        )
        for row in same[0 if differ else 1 :] if len(same) > 1 else ():
            row.why = (
                "another row gives this song other labels"
                if differ
                else "an earlier row gives this song the same labels"
            )


def rank(rows: list[Row]) -> None:
    """Values by their order among all good rows: the share that lies below, equals by
    half."""
    good = [row for row in rows if row.values and not row.why]
    if not good:
        return
    values = np.array([row.values for row in good])
    ranks = np.empty_like(values)
    for axis in range(len(AXES)):
        ordered = np.sort(values[:, axis])
        below = np.searchsorted(ordered, values[:, axis])
        upto = np.searchsorted(ordered, values[:, axis], side="right")
        ranks[:, axis] = (below + upto) / (2 * len(ordered))
    for row, (valence, arousal) in zip(good, ranks.tolist(), strict=True):
        row.values = (valence, arousal)


def refused_rows(rows: Sequence[Row], name: str) -> pa.Table:
    """REFUSED of the rows that are refused."""
    bad = [row for row in rows if row.why]
    return pa.table(
        [
            [name] * len(bad),
            [row.number for row in bad],
            [row.named for row in bad],
            [row.why for row in bad],
        ],
        REFUSED,
    )
