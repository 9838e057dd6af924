"""Writing pieces of an emotion with any model that can, in keys that real songs of the
emotion have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.song import Song
from training.config import DataConfig, RunConfig
from training.data.keys import KeyTable, from_tonic
from training.parts.sampling import SamplingConfig
from training.protocols import Generator, Steered, require


@dataclass(frozen=True, eq=False)
class Writer:
    """A trained model, what it reads, and the keys of its training songs, which it needs
    where it reads pitch relative to the tonic."""

    model: Any
    data: DataConfig
    keys: KeyTable | None = None

    @staticmethod
    def of(model: Any, config: RunConfig, facts: Mapping[str, Any]) -> "Writer":
        """What checkpoint.load_run gives, ready to write; RunFailed where the model cannot
        write music of an emotion."""
        keys = facts.get("keys")
        return Writer(
            require(model, Generator), config.data, KeyTable(keys) if keys else None
        )

    def write(
        self,
        classes: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
        tonic: int | None = None,
    ) -> list[Song]:
        """n pieces, each in the key of a song drawn among those of its classes, or all
        relative to `tonic`; RunFailed for a strength that the model has no handle for."""
        if (sampling.strength, sampling.noise, sampling.contrast) != (1, 1, 1):
            require(self.model, Steered)
        songs: list[Song] = self.model.generate(classes, n, bars, sampling)
        if self.keys is None:
            return songs
        drawn = self.keys.draw(classes, n, sampling.seed)
        return in_keys(songs, drawn if tonic is None else np.full(n, tonic))


def in_keys(songs: Sequence[Song], tonics: np.ndarray) -> list[Song]:
    """Songs that are written relative to C, each to its tonic (n), or its bars' (n,
    T); C where pitch is absolute."""
    if not tonics.any():
        return list(songs)
    by_bar = tonics[:, None] if tonics.ndim == 1 else tonics
    return [from_tonic(song, tonic) for song, tonic in zip(songs, by_bar, strict=True)]
