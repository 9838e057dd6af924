"""What a build can read and compute: one line a source and a feature. Filters stand in
filters.py."""

from functools import partial
from typing import Any

from pipelines.dedupe import fingerprint, shingles
from pipelines.features import rhythm, statistics
from pipelines.features.key import estimate as key
from pipelines.labels import msd
from pipelines.sources import lpd5, midi, nottingham
from pipelines.sources.sample import source as sample
from schemas.contracts import Feature, Source

SOURCES = {
    "lpd5": Source("lpd5", lpd5.Lpd5Config, lpd5.items, lpd5.parse),
    "nottingham": Source(
        "nottingham",
        nottingham.NottinghamConfig,
        nottingham.items,
        nottingham.parse,
        looks_for=nottingham.LOOKS_FOR,
    ),
    "midi": Source(
        "midi",
        midi.MidiConfig,
        midi.items,
        midi.parse,
        looks_for=midi.LOOKS_FOR,
        by_name=True,
    ),
    "sample": Source(
        "sample",
        sample.SampleConfig,
        sample.items,
        sample.parse,
        partial(sample.prepare, write_track=msd.write_track),
    ),
}


def source_of(settings: Any) -> Source:
    """The source whose settings these are: several of a build may be of one kind."""
    kinds = [source for source in SOURCES.values() if source.config is type(settings)]
    return kinds[0]


# The name of a feature is the name of its settings in a build file, "" where it has none.
FEATURES = (
    Feature("", statistics.COLUMNS, statistics.compute),
    Feature("", rhythm.COLUMNS, rhythm.compute),
    Feature("key", key.COLUMNS, key.compute),
    Feature("", fingerprint.COLUMNS, fingerprint.compute),
    Feature("shingles", shingles.COLUMNS, shingles.compute),
)
