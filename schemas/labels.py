"""The affect labels: arousal and valence, each low or high, and the four quadrants they
span.

Valence is how pleasant the music is, arousal how excited; both lie in [0, 1]. Spotify
publishes no arousal: its `energy` stands for it, which is our decision and is named again
where it is made (pipelines/labels/thresholds.py).
"""

from dataclasses import dataclass

LOW, HIGH = 0, 1
A0, A1 = LOW, HIGH
V0, V1 = LOW, HIGH

# (arousal class, valence class) -> name, after Russell's circumplex model of affect (1980).
QUADRANTS = {(A1, V1): "happy", (A1, V0): "tense", (A0, V0): "sad", (A0, V1): "calm"}
QUADRANT_CLASSES = {name: classes for classes, name in QUADRANTS.items()}


@dataclass(frozen=True)
class Affect:
    """What one song is labelled: values in [0, 1], classes LOW or HIGH; None where there is
    no label.

    Raises ValueError for a value outside [0, 1] or a class that is not LOW, HIGH or None.
    """

    valence: float | None = None
    arousal: float | None = None
    valence_class: int | None = None
    arousal_class: int | None = None

    def __post_init__(self) -> None:
        for name in ("valence", "arousal"):
            value, level = getattr(self, name), getattr(self, f"{name}_class")
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], not {value}")
            if level not in (None, LOW, HIGH):
                raise ValueError(
                    f"{name}_class must be {LOW}, {HIGH} or None, not {level!r}"
                )

    @property
    def quadrant(self) -> str | None:
        """The quadrant's name, None where either class is missing."""
        if self.arousal_class is None or self.valence_class is None:
            return None
        return QUADRANTS[self.arousal_class, self.valence_class]
