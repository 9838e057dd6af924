"""What a build can read, ask and compute: one line a source, a feature and a filter."""

from functools import partial

from pipelines.affect import msd
from pipelines.dedupe import signature
from pipelines.features import key, rhythm, statistics
from pipelines.filters import length, meter, tracks
from pipelines.sources import lpd5, nottingham, sample
from schemas.entries import Feature, Filter, Source
from schemas.reject import Reason

SOURCES = {
    "lpd5": Source("lpd5", lpd5.Lpd5Config, lpd5.items, lpd5.parse),
    "nottingham": Source("nottingham", nottingham.NottinghamConfig, nottingham.items, nottingham.parse),
    "sample": Source(
        "sample", sample.SampleConfig, sample.items, sample.parse, partial(sample.prepare, write_track=msd.write_track)
    ),
}

# The name of a feature is the name of its settings in a build file, "" where it has none.
FEATURES = (
    Feature("", statistics.COLUMNS, statistics.compute),
    Feature("", rhythm.COLUMNS, rhythm.compute),
    Feature("key", key.COLUMNS, key.compute),
    Feature("shingles", signature.COLUMNS, signature.compute),
)

# In the order in which a song's first failing rule becomes the reason of its Reject.
FILTERS = (
    Filter(Reason.NO_PIANO, tracks.check_piano),
    Filter(Reason.TOO_SHORT, length.check_seconds),
    Filter(Reason.TOO_FEW_BARS, length.check_bars),
    Filter(Reason.TOO_FEW_NOTES, length.check_notes),
    Filter(Reason.BAR_TOO_LONG, meter.check_bar_length),
)
