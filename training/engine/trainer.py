"""Train: one plain loop, from a run file and a release to a folder with checkpoints and
a log; goes on where it stopped."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from schemas.settings import public
from training.config import RunConfig
from training.data.cache import open_split
from training.data.loader import Batch, Loader
from training.data.release import open_release
from training.engine import checkpoint
from training.engine.distributed import (
    autocast,
    find_ranks,
    prepared,
    running_model,
    to_device,
)
from training.engine.log import Log
from training.engine.optimizer import learning_rate, make_optimiser
from training.engine.speed import Speed
from training.engine.validation import validate, validation_loader
from training.errors import RunFailed
from training.protocols import Settling
from training.registry import MODELS

# Labelled songs that tell a model where classes lie.
SETTLED_BY = 512
STOPS = (signal.SIGTERM, signal.SIGINT)

Progress = Callable[[int, str], object]


class Trainer:
    """Model, optimiser and data of one run, at one step."""

    def __init__(
        self, config: RunConfig, release_url: str, out: str, cache: str | None = None
    ) -> None:
        self.config = config
        self.out = Path(out)
        self.ranks = find_ranks(config.train)
        self.release = open_release(release_url)
        folder = prepared(self.release, config.data, cache, self.ranks)
        self.loader = self._loader(folder)
        self.validation = validation_loader(folder, config, self.ranks)
        torch.manual_seed(config.train.seed)
        model = MODELS[config.kind]().make(config.model, config.data)
        self.model = model.to(self.ranks.device)
        self.optimiser = make_optimiser(self.model, config.train)
        self.step = 0
        self.best = math.inf
        self.stopped = False
        self._resume()
        # Ranks draw their noise apart; a single process keeps the stream it was restored to.
        if self.ranks.size > 1:
            torch.manual_seed(config.train.seed + 1000 * self.step + self.ranks.rank)
        self.running = running_model(self.model, config, self.ranks)

    def _loader(self, folder: Path) -> Loader:
        split, train = open_split(folder, "train"), self.config.train
        share = (self.ranks.rank, self.ranks.size)
        return Loader(split, self.config.data, train.batch, train.seed, *share)

    def _resume(self) -> None:
        path = self.out / checkpoint.LAST
        if not path.exists():
            return
        found, wanted = checkpoint.read(path), public(self.config)
        for name in ("kind", "model", "data"):
            if found.facts["config"].get(name) != wanted[name]:
                raise RunFailed(
                    f"{path} has another {name} setting: "
                    "train into a new --out, or restore the old settings"
                )
        if found.facts["release"] != self.release.sha256:
            url = self.release.url
            raise RunFailed(
                f"{path} was trained on another release than {url}: "
                "train into a new --out, or give that release"
            )
        checkpoint.restore_model(self.model, found, path)
        checkpoint.restore_training(self.optimiser, found, path)
        self.loader.load_state_dict(found.facts["loader"])
        self.step = found.facts["step"]
        if found.facts["best"] is not None:
            self.best = found.facts["best"]

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step on one batch; its terms. RunFailed, with the songs named,
        where the loss is not a number."""
        config = self.config.train
        self.running.train()
        rate = learning_rate(config, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        terms = self._gradients(batch)
        weights = self.model.parameters()
        terms["gradient_norm"] = nn.utils.clip_grad_norm_(weights, config.clip)
        if not torch.isfinite(terms["loss"] + terms["gradient_norm"]):
            raise RunFailed(self._not_finite(terms, batch))
        self.optimiser.step()
        self.step += 1
        return terms | {"learning_rate": torch.tensor(rate)}

    def _not_finite(self, terms: Mapping[str, Tensor], batch: Batch) -> str:
        """What is said of a loss that is not a number."""
        ids = self.loader.split.ids
        crops = zip(batch.song, batch.start, strict=True)
        names = ", ".join(f"{ids[song]} from bar {start}" for song, start in crops)
        loss, norm = terms["loss"].item(), terms["gradient_norm"].item()
        return f"the loss is {loss} at step {self.step + 1} (gradient {norm}): {names}"

    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Add up the gradients of a batch's parts; the mean of their terms."""
        step = torch.tensor(self.step, device=self.ranks.device)
        tensors = to_device(batch, self.ranks.device)
        chunks = [tensor.chunk(self.config.train.accumulate) for tensor in tensors.values()]
        parts = list(zip(*chunks, strict=True))
        sums: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            waits = self.ranks.size > 1 and index < len(parts) - 1
            with self.running.no_sync() if waits else nullcontext():
                with autocast(self.config.train.precision, self.ranks):
                    terms = self.running(dict(zip(tensors, part, strict=True)), step)
                (terms["loss"] / len(parts)).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(parts)
        return sums

    def save(self, name: str = checkpoint.LAST) -> None:
        """Write a checkpoint, of the leading process alone."""
        if not self.ranks.leads:
            return
        facts = {
            "step": self.step, "best": None if math.isinf(self.best) else self.best, "config": public(self.config),
            "release": self.release.sha256, "code": checkpoint.code_version(), "torch": torch.__version__,
            "loader": {**self.loader.state_dict(), "step": self.step}, "keys": self.loader.keys(),
        }  # fmt: skip
        optimiser = self.optimiser if name == checkpoint.LAST else None
        checkpoint.save(self.out / name, self.model, facts, optimiser)

    def run(self, progress: Progress = lambda step, text: None) -> int:
        """Train to the last step or to a SIGTERM; the step reached."""
        self.out.mkdir(parents=True, exist_ok=True)
        log = None
        if self.ranks.leads:
            log = Log(self.out, self.step, self.config.train.tensorboard)
        before = {number: signal.signal(number, self._stop) for number in STOPS}
        try:
            if log and not self.step:
                facts = {"train": self.loader.describe(), "parameters": self.parameters}
                log.write("data", 0, facts)
            self._loop(log, progress)
            self.save()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if log:
                log.close()
        return self.step

    def _loop(self, log: Log | None, progress: Progress) -> None:
        config, batches, speed = self.config.train, iter(self.loader), Speed()
        while self.step < config.steps and not self._all_stop():
            start = time.perf_counter()
            batch = next(batches)
            self._settle()
            terms = self.train_step(batch)
            speed.add(batch, time.perf_counter() - start)
            if self._due(config.log_every):
                if log:
                    progress(self.step, self.log_step(log, terms, speed))
                speed = Speed()
            if self._due(config.validate_every):
                self._fit_prior()
                self._validate(log)
            if self.step % config.save_every == 0:
                self.save()

    def _settle(self) -> None:
        """Put a model's parts where labelled songs lie, where it asks for that and there are
        some."""
        model: Any = self.model
        if isinstance(model, Settling) and model.settles_at(self.step):
            tokens, labels = self._labelled()
            if tokens:
                model.settle(tokens, labels)

    def _fit_prior(self) -> None:
        """Fit what pieces are drawn from to labelled songs, where there are some."""
        model: Any = self.model
        if isinstance(model, Settling):
            tokens, labels = self._labelled()
            if tokens:
                model.fit_prior(tokens, labels)

    def _labelled(self) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens and labels of batches of labelled songs."""
        self.model.eval()
        batches = self.loader.labelled(SETTLED_BY)
        tensors = [to_device(batch, self.ranks.device) for batch in batches]
        return [one["tokens"].long() for one in tensors], [one["label"] for one in tensors]

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.train.steps

    def log_step(self, log: Log, terms: Mapping[str, Tensor], speed: Speed) -> str:
        """Log a step; the line that is shown. tokens/s of all ranks, TFLOP/s of this one,
        MFU where its peak is given."""
        data, peak = self.config.data, self.config.train.peak_tflops
        worked = speed.tokens if data.layout == "packed" else speed.places
        flops = self.model.flops_per_step(worked, data.tokens_per_bar)
        tflops = flops / speed.seconds / 1e12
        pace = speed.tokens * self.ranks.size / speed.seconds
        values = {name: float(value) for name, value in terms.items()}
        values |= {"tokens_per_second": pace, "tflops": tflops}
        if peak:
            values["mfu"] = tflops / peak
        log.write("train", self.step, values)
        return f"loss {values['loss']:.3f}, {pace:,.0f} tokens/s"

    def _validate(self, log: Log | None) -> None:
        """Validate, where there is a validation split; keep the best."""
        if self.validation is None:
            return
        train = self.config.train
        found = validate(
            self.model,
            self.validation,
            train.validation_batches,
            self.ranks,
            train.precision,
        )
        if log:
            log.write("validation", self.step, found)
        if found["loss"] < self.best:
            self.best = found["loss"]
            self.save(checkpoint.BEST)

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped = True

    def _all_stop(self) -> bool:
        """Whether any rank was told to stop."""
        stopped_share = self.ranks.mean({"stopped": self.stopped})["stopped"]
        if stopped_share > 0:
            self.stopped = True
        return stopped_share > 0

    @property
    def parameters(self) -> int:
        """How many the model has."""
        return sum(parameter.numel() for parameter in self.model.parameters())
