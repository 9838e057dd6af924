"""The settings of [affect]: where labels come from, which of a song's labels is taken,
and when it counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.labels.own_labels import OwnLabels
from schemas.settings import PATH

AGREE, BEST_SCORE, MEAN = "agree", "best_score", "mean"
RULES = (AGREE, BEST_SCORE, MEAN)
TRAIN_MEDIAN = "train_median"


@dataclass(frozen=True)
class AffectConfig:
    """Settings of the labels.

    matches, labels: paths, of the labels the preferred table first; msd: folder of MSD HDF5
    files or the summary file; unique_tracks, names: paths; "" is none. folder_matches: take
    the TR… folders of the corpus as matches too. own: labels of one's own, by name, which go
    before all others; people: tables by MSD track of what listeners say, with which labels are
    compared and which give none.

    min_score: matches scored below it do not count; min_margin: a label goes where its
    title's best score beats the best of any other title by less, 0 to let it be. Both look
    at scores alone: a match list without scores passes.

    rule: agree, best_score or mean (choose.py); max_title_spread: under `agree`, how far
    valence or energy may range where titles differ; max_label_spread: how far they may
    range at all; zero_is_missing: valence 0.0 is no value.

    min_label_trust: labels trusted less go; rescue_from: label_trust from which a song keeps
    its label though titles differ; trusted_from: from which a label counts as trusted.

    threshold: train_median or a number in [0, 1]; margin: how near to it a value has no
    class.

    Raises ValueError where a value is out of its range.
    """

    matches: tuple[str, ...] = field(default=(), metadata=PATH)
    labels: tuple[str, ...] = field(default=(), metadata=PATH)
    msd: str = field(default="", metadata=PATH)
    unique_tracks: str = field(default="", metadata=PATH)
    names: str = field(default="", metadata=PATH)
    own: Mapping[str, OwnLabels] = field(default_factory=dict)
    people: Mapping[str, OwnLabels] = field(default_factory=dict)
    folder_matches: bool = True
    min_score: float = 0.0
    min_margin: float = 0.0
    rule: str = AGREE
    max_title_spread: float = 0.2
    max_label_spread: float = 1.0
    zero_is_missing: bool = True
    min_label_trust: float = 0.0
    rescue_from: float = 0.8
    trusted_from: float = 0.8
    threshold: float | str = TRAIN_MEDIAN
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        if isinstance(self.threshold, str) and self.threshold != TRAIN_MEDIAN:
            raise ValueError(
                f"threshold must be {TRAIN_MEDIAN} or a number in [0, 1], not {self.threshold!r}"
            )
        shares = [
            "min_score",
            "min_margin",
            "max_title_spread",
            "max_label_spread",
            "min_label_trust",
            "rescue_from",
            "trusted_from",
        ]
        for name in [
            *shares,
            "margin",
            *([] if isinstance(self.threshold, str) else ["threshold"]),
        ]:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}")


@dataclass(frozen=True)
class Labelling:
    """What labels are made of: where metadata and the ingested songs stand, [affect], and
    whether artists group.

    reuse: metadata are another build's, what it read of MSD's files among them.
    """

    metadata: str
    reuse: bool
    corpus: str
    n_shards: int
    config: AffectConfig
    by_artist: bool
