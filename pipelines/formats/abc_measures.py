"""Measures of a tune: what stands between two bar lines, and what is said there of repeats."""

from dataclasses import dataclass, field
from fractions import Fraction

Meter = tuple[int, int]


@dataclass
class Note:
    """A note of a measure; offset and length in quarters. ties_on: it is tied to the next one."""

    offset: Fraction
    length: Fraction
    pitch: int
    ties_on: bool = False


@dataclass
class Measure:
    """What stands between two bar lines; offsets and lengths in quarters.

    chords: (offset, symbols), of several symbols the first is for the first time through; tempi:
    (offset, bpm); bpm: in force at its start, None for the tune's first. opens, closes: a repeat
    starts before it, ends after it, as often as that; section_end: a double bar or a new part
    follows; endings: which times through it is played, where an ending starts; part: P: label.
    """

    meter: Meter | None
    length: Fraction = Fraction(0)
    notes: list[Note] = field(default_factory=list)
    chords: list[tuple[Fraction, tuple[str, ...]]] = field(default_factory=list)
    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    opens: int = 0
    closes: int = 0
    section_end: bool = False
    endings: frozenset[int] = frozenset()
    part: str = ""
    starts_part: bool = False
    bpm: float | None = None

    @property
    def full(self) -> Fraction | None:
        """Quarters of a whole bar of its meter, None where it is free."""
        return Fraction(4 * self.meter[0], self.meter[1]) if self.meter else None


@dataclass(frozen=True, eq=False)
class PlayedMeasure:
    """A measure as it sounds once; time: which time through it is, from 1."""

    measure: Measure
    time: int
