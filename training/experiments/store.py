"""Bench: where the cells of an experiment are trained, kept and measured; each process
makes its own, once."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from schemas.labels import HIGH, LOW, QUADRANTS
from schemas.manifest import canonical_sha256
from schemas.settings import public
from training.config import AXES, DataConfig, RunConfig
from training.data.cache import Split, open_split, prepare
from training.data.keys import KeyTable
from training.data.release import open_release
from training.engine.checkpoint import LAST, load_run, read
from training.engine.trainer import Trainer
from training.errors import RunFailed
from training.evaluation import metrics as measures
from training.evaluation.classifiers import (
    Judge,
    Network,
    Windows,
    load_judge,
    refuse_settings,
    refuse_unfit,
    taught_judges,
    windows_of,
)
from training.evaluation.handcrafted import feature_table
from training.evaluation.judging import ceiling
from training.evaluation.metrics import mean_of
from training.evaluation.realism import TrainingBars, distance_to_real
from training.evaluation.structure import structure
from training.experiments.plan import PLAIN, Cell, judge_config, load
from training.generation.writing import Writer

# To be raised with every change of what is measured: what was kept before is then measured
# again.
MEASURED = 2


@dataclass(frozen=True)
class Request:
    """What the command was asked: the plan's file and what is laid over it, the release,
    where to write and cache."""

    plan: str
    assignments: tuple[str, ...]
    release: str
    out: str
    cache: str | None = None
    device: str = "cpu"


class Store:
    """The release, the judges and the runs of one order."""

    def __init__(self, request: Request) -> None:
        self.request, self.plan, self.out = (
            request,
            load(request.plan, request.assignments),
            Path(request.out),
        )
        self.release = open_release(request.release)
        self.judge_data: DataConfig = judge_config(self.plan).data

    def refuse(self, cells: Sequence[Cell]) -> None:
        """Raise RunFailed, before anything is trained, for a cell that may not be
        measured, or a split that cannot judge."""
        for config in (cell.config for cell in cells if cell.config):
            refuse_settings(config, self.judge_data)
            for name in ("tokens_per_bar", "overflow"):
                if getattr(config.data, name) != getattr(self.judge_data, name):
                    raise RunFailed(
                        f"{config.name} and the judge differ in data.{name}: give both the same"
                    )
        split = self.split(self.plan.judging.split, self.judge_data)
        for axis, label in zip(
            AXES, split.labels[split.n_bars >= self.judge_data.bars].T, strict=True
        ):
            if not {LOW, HIGH} <= set(label.tolist()):
                raise RunFailed(
                    f"the {self.plan.judging.split} split has no song of each class of {axis}: nothing can be judged"
                )

    def train(self, config: RunConfig) -> Path:
        """The folder of a run that is trained to its end; RunFailed where one of other
        settings stands there."""
        folder = self.out / "runs" / config.name
        if (folder / LAST).exists():
            kept = read(folder / LAST).facts
            if odd := [
                name
                for name, value in public(config).items()
                if kept["config"][name] != value
            ]:
                raise RunFailed(
                    f"{folder} was trained with another {odd[0]}: name another --out, or restore the settings"
                )
            if (
                kept["step"] >= config.train.steps
                and kept["release"] == self.release.sha256
            ):
                return folder
        trainer = Trainer(config, self.request.release, str(folder), self.request.cache)
        trainer.run()
        if trainer.stopped:
            raise RunFailed(
                f"stopped at step {trainer.step} of {config.name}: the same command goes on from there"
            )
        return folder

    def model(self, cell: Cell) -> Writer:
        """A cell's model and what it reads; of a plain rival what the judges read.
        RunFailed where it may not be judged."""
        if cell.config is None:
            training = self.split("train", self.judge_data)
            return Writer(PLAIN[cell.model](training, self.judge_data), self.judge_data)
        found, config, facts = load_run(str(self.train(cell.config)), self.request.device)
        refuse_unfit(config, facts, self.release, self.judge_data)
        keys = facts.get("keys")
        return Writer(found, config.data, KeyTable(keys) if keys else None)

    def trained(self, config: RunConfig) -> list[Any]:
        """A run's settings and the hashes of its weights, once it is trained."""
        weights = sorted(self.train(config).glob("*.safetensors"))
        return [
            public(config),
            [hashlib.sha256(path.read_bytes()).hexdigest() for path in weights],
        ]

    def trained_judge(self) -> list[Any]:
        """The same of the judge."""
        return self.trained(judge_config(self.plan))

    def split(self, name: str, data: DataConfig) -> Split:
        """A split of the release as a model reads it."""
        return open_split(prepare(self.release, data, self.request.cache), name)

    @cached_property
    def judges(self) -> list[Judge]:
        """The rules, the boosting and the network, all taught the songs that are set
        aside for judges."""
        model, config = load_judge(
            str(self.train(judge_config(self.plan))), self.release, self.request.device
        )
        network = Network(model, config.data, self.release.remi, self.request.device)
        return taught_judges(
            network, self.split("train", config.data), config.data, self.plan.judging
        )

    @cached_property
    def heard(self) -> Windows:
        """Windows of the real songs of the test split."""
        split = self.split(self.plan.judging.split, self.judge_data)
        return windows_of(
            split, np.ones(len(split.ids), bool), self.judge_data, self.plan.judging.windows
        )

    @cached_property
    def training_bars(self) -> TrainingBars:
        """Every bar that a model may have been taught."""
        return TrainingBars(self.split("train", self.judge_data))

    def kept(
        self, name: str, settings: Any, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `work` gives, kept as OUT/measured/NAME.json; worked out again for other
        settings, budget or release."""
        path, plan = self.out / "measured" / f"{name}.json", public(self.plan)
        asked = canonical_sha256(
            [
                MEASURED,
                self.release.sha256,
                plan["judging"],
                plan["songs"],
                plan["strength"],
                plan["strengths"],
                settings,
            ]
        )
        if path.exists() and (found := json.loads(path.read_text()))["asked"] == asked:
            return found["measured"]
        measured = measures.rounded(work(), digits=5)
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_suffix(f".{os.getpid()}.part")
        making.write_text(json.dumps({"asked": asked, "measured": measured}))
        making.replace(path)
        return measured

    def unseen(self) -> dict[str, Any]:
        """What realism.py says of real songs that nothing was taught: test windows, and
        half of a class to its rest."""

        def work() -> dict[str, Any]:
            some = np.random.default_rng(0).permutation(len(self.heard.songs))[
                : 4 * self.plan.judging.pieces
            ]
            halves = {
                name: distance_to_real(*self._halves(levels))
                for levels, name in QUADRANTS.items()
            }
            songs = [self.heard.songs[at] for at in some]
            like = mean_of([structure(song) for song in songs])
            return {**halves, **self.training_bars.overlap(songs), "structure": like}

        return self.kept("unseen", public(self.judge_data), work)

    def features_of(self, levels: tuple[int, int]) -> np.ndarray:
        """Hand features of the real windows of one quadrant, (n, n_features)."""
        return feature_table([self.heard.songs[at] for at in self._windows_of(levels)])

    def _windows_of(self, levels: tuple[int, int]) -> np.ndarray:
        return np.flatnonzero((self.heard.label == levels).all(1))

    def _halves(self, levels: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The same in two parts that share no song."""
        table, song = self.features_of(levels), self.heard.song[self._windows_of(levels)]
        first = np.isin(song, np.unique(song)[::2])
        return table[first], table[~first]

    def real(self) -> dict[str, Any]:
        """What each judge makes of real songs: the ceiling of all that is written."""
        return self.kept(
            "real",
            self.trained_judge(),
            lambda: ceiling(self.judges, self.heard, self.plan.judging),
        )
