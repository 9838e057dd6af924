"""How fast a training goes, measured between two lines of its log."""

from dataclasses import dataclass

import numpy as np

from training.data.loader import Batch


@dataclass
class Speed:
    """Work of this rank since the last line: tokens, token places with padding, seconds."""

    tokens: int = 0
    places: int = 0
    seconds: float = 0.0

    def add(self, batch: Batch, seconds: float) -> None:
        """Count one step."""
        self.tokens += int(np.count_nonzero(batch.tokens))
        self.places += batch.tokens.size
        self.seconds += seconds
