"""A run's settings: frozen, from a TOML file and `--set`, every key with its default; an
unknown key is refused by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.settings import SettingsError, build, override
from schemas.song import TRACKS
from training.recipes import read_recipe
from training.registry import MODELS

AXES = ("arousal", "valence")
UNLABELLED = -1


@dataclass(frozen=True)
class ViewConfig:
    """What a model reads of a song.

    tracks: names of those it hears; tokens_per_bar: most tokens of a bar, Bar token
    included; overflow: `keep_onsets` thins a longer bar until it fits, `tail` cuts it as
    the paper does; rhythm: notes that start in (`onsets`) or sound in (`sounding`) each
    sixteenth, at most max_count (ambiguity n, o of the paper: its words say sounding, its
    reason onsets); pitch: as written (`absolute`), or relative to the tonic of the song
    (`tonic`) or of each bar (`bar_tonic`), keys likewise.
    """

    tracks: tuple[str, ...] = TRACKS
    tokens_per_bar: int = 128
    overflow: Literal["keep_onsets", "tail"] = "keep_onsets"
    rhythm: Literal["onsets", "sounding"] = "onsets"
    max_count: int = 15
    pitch: Literal["absolute", "tonic", "bar_tonic"] = "absolute"

    def __post_init__(self) -> None:
        if not self.tracks or set(self.tracks) - set(TRACKS):
            raise ValueError(
                f"tracks must be some of {', '.join(TRACKS)}, not {', '.join(self.tracks) or 'none'}"
            )
        if self.tokens_per_bar < 8:
            raise ValueError(
                f"tokens_per_bar must be at least 8, not {self.tokens_per_bar}"
            )
        if not 1 <= self.max_count <= 255:
            raise ValueError(f"max_count must be from 1 to 255, not {self.max_count}")


@dataclass(frozen=True)
class DataConfig(ViewConfig):
    """Which bars reach the model, beside what it reads of each (ViewConfig).

    bars: consecutive bars of a crop; songs: the training songs of `generators`, or those
    that the release sets aside for `judges`; supervision: share of all training songs whose
    label is used, lowest label_rank first (the paper's rho; 1 = all there are, 0 = none);
    labelled_share: share of labelled songs in a batch, -1 as they come; layout: `padded` to
    tokens_per_bar, or `packed` (linear layers skip the padding: the same result, quicker
    where bars are short); threads: batches made ahead.
    """

    bars: int = 20
    songs: Literal["generators", "judges"] = "generators"
    supervision: float = 1.0
    labelled_share: float = -1.0
    layout: Literal["padded", "packed"] = "padded"
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.supervision <= 1 or self.labelled_share > 1:
            raise ValueError("supervision and labelled_share are shares: at most 1")
        if self.bars < 1 or self.threads < 0:
            raise ValueError("bars must be at least 1, and threads 0 or more")


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast.

    steps: optimiser steps; batch: crops a step over all ranks; accumulate: parts a rank's
    batch is worked in; the learning rate rises linearly for warmup_steps and falls by a
    cosine to final_learning_rate at the last step; clip: largest gradient norm; precision:
    `auto` is bfloat16 where there is a GPU; compile: `auto` likewise; threads: CPU threads,
    0 leaves PyTorch's; every *_every is in steps; validation_batches: of how many batches
    the validation loss is the mean; peak_tflops: of the device, from which the log's MFU is
    taken (0: not given).
    """

    steps: int = 1000
    batch: int = 16
    accumulate: int = 1
    seed: int = 0
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-4
    final_learning_rate: float = 5e-6
    warmup_steps: int = 100
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    log_every: int = 10
    validate_every: int = 200
    validation_batches: int = 16
    save_every: int = 200
    peak_tflops: float = 0.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch, self.accumulate, self.validation_batches)
        if min(*counts, self.log_every, self.validate_every, self.save_every) < 1:
            raise ValueError(
                "steps, batch, accumulate, validation_batches and every *_every must be at least 1"
            )
        if min(self.seed, self.warmup_steps, self.threads) < 0 or self.clip <= 0:
            raise ValueError(
                "seed, warmup_steps and threads must be 0 or more, and clip over 0"
            )


@dataclass(frozen=True)
class RunConfig:
    """One run. kind: the model's name in training/registry.py; model: that model's own
    settings."""

    name: str
    kind: str
    model: Any
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def load(path: str, assignments: Sequence[str] = ()) -> RunConfig:
    """The settings of a run file with `--set` laid over; raises SettingsError, in one
    sentence with its mend."""
    return from_tables(override(read_recipe(path), assignments))


def from_tables(tables: dict[str, Any]) -> RunConfig:
    """The settings in tables, for instance those a checkpoint carries."""
    kind = tables.get("kind")
    if kind not in MODELS:
        raise SettingsError(
            f"kind must be one of {', '.join(MODELS)}, not {kind!r}: set it at the head of the run file"
        )
    return build(
        RunConfig,
        {**tables, "model": build(MODELS[kind]().config, tables.get("model", {}), "model")},
    )
