"""hub_features: the columns of a release as Hugging Face datasets reads them, with the columns
that are one of a few names as ClassLabels."""

from collections.abc import Mapping
from typing import Any

from schemas.labels import QUADRANTS
from schemas.song import METER_SOURCES, TRACKS

LEVELS = ("low", "high")
# Columns that are one of a few names; numbers among them are the names' places.
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "quadrant": tuple(QUADRANTS.values()),
    "valence_class": LEVELS,
    "arousal_class": LEVELS,
    "meter_source": METER_SOURCES,
    "note_track": TRACKS,
}
# Arrow's names of types, where datasets has another.
DTYPES = {"float": "float32", "double": "float64"}


def hub_features(columns: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """`dataset_info.features` of a card for the columns of a manifest."""
    return [_feature(name, facts["type"]) for name, facts in columns.items()]


def _feature(name: str, kind: str) -> dict[str, Any]:
    item = kind.removeprefix("list<item: ").partition(" not null")[0].rstrip(">")
    if name in CLASS_NAMES:
        names = {str(index): word for index, word in enumerate(CLASS_NAMES[name])}
        said: Any = {"class_label": {"names": names}}
    else:
        said = DTYPES.get(item, item)
    if kind.startswith("list<"):
        return {"name": name, "sequence": said}
    return {"name": name, "dtype": said}
