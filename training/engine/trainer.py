"""Train: one plain loop, from a run file and a release to a folder with checkpoints and
a log; goes on where it stopped."""

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from schemas.settings import public
from training.config import RunConfig
from training.data.cache import open_split
from training.data.loader import Batch, Loader
from training.data.release import open_release
from training.engine import checkpoint
from training.engine.distributed import find_ranks, prepared, to_device
from training.engine.log import Log
from training.engine.optimizer import learning_rate, make_optimiser
from training.errors import RunFailed
from training.registry import MODELS

VALIDATION_SEED = 1
STOPS = (signal.SIGTERM, signal.SIGINT)


class Trainer:
    """Model, optimiser and data of one run, at one step."""

    def __init__(
        self, config: RunConfig, release_url: str, out: str, cache: str | None = None
    ) -> None:
        self.config, self.out, self.ranks = config, Path(out), find_ranks(config.train)
        self.release = open_release(release_url)
        folder = prepared(self.release, config.data, cache, self.ranks)
        share = (self.ranks.rank, self.ranks.size)
        self.loader = Loader(
            open_split(folder, "train"),
            config.data,
            config.train.batch,
            config.train.seed,
            *share,
        )
        self.validation = self._validation(folder, share)
        torch.manual_seed(config.train.seed)
        self.model = (
            MODELS[config.kind]().make(config.model, config.data).to(self.ranks.device)
        )
        self.optimiser = make_optimiser(self.model, config.train)
        self.step, self.best, self.stopped = 0, math.inf, False
        self._resume()
        # Ranks draw their noise apart; a single process keeps the stream it was restored
        # to.
        if self.ranks.size > 1:
            torch.manual_seed(config.train.seed + 1000 * self.step + self.ranks.rank)
        self.running: Any = self._running()

    def _validation(self, folder: Path, share: tuple[int, int]) -> Loader | None:
        """Batches of the validation split with all labels it has, or None where it has
        no song that is long enough."""
        split, data = open_split(folder, "validation"), self.config.data
        usable = split.n_bars >= data.bars
        if not usable.any():
            return None
        labelled = data.supervision > 0 and (split.labels[usable] >= 0).any()
        data = replace(data, supervision=float(labelled), labelled_share=-1.0)
        return Loader(
            split, data, self.config.train.batch, VALIDATION_SEED, *share, held_out=True
        )

    def _running(self) -> nn.Module:
        """The model as it is trained: compiled, and in step with the other ranks."""
        compiles, running = self.config.train.compile, self.model
        if compiles == "on" or (compiles == "auto" and self.ranks.has_gpu):
            running = torch.compile(running, dynamic=self.config.data.layout == "packed")
        own = [self.ranks.device.index] if self.ranks.has_gpu else None
        return (
            nn.parallel.DistributedDataParallel(running, device_ids=own)
            if self.ranks.size > 1
            else running
        )

    def _resume(self) -> None:
        path = self.out / checkpoint.LAST
        if not path.exists():
            return
        found, wanted = checkpoint.read(path), public(self.config)
        for name in ("kind", "model", "data"):
            if found.facts["config"][name] != wanted[name]:
                raise RunFailed(
                    f"{path} has another {name} setting: train into a new --out, or restore the old settings"
                )
        if found.facts["release"] != self.release.sha256:
            url = self.release.url
            raise RunFailed(
                f"{path} was trained on another release than {url}: train into a new --out, or give that release"
            )
        checkpoint.restore_model(self.model, found, path)
        checkpoint.restore_training(self.optimiser, found, path)
        self.loader.load_state_dict(found.facts["loader"])
        self.step = found.facts["step"]
        self.best = math.inf if found.facts["best"] is None else found.facts["best"]

    def _precision(self) -> Any:
        """The autocast in which losses are worked out."""
        wanted = self.config.train.precision
        if wanted == "bfloat16" or (wanted == "auto" and self.ranks.has_gpu):
            return torch.autocast(self.ranks.device.type, torch.bfloat16)
        return nullcontext()

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
        terms["gradient_norm"] = nn.utils.clip_grad_norm_(
            self.model.parameters(), config.clip
        )
        if not torch.isfinite(terms["loss"] + terms["gradient_norm"]):
            crops = zip(batch.song, batch.start, strict=True)
            names = ", ".join(
                f"{self.loader.split.ids[song]} from bar {start}" for song, start in crops
            )
            norm = terms["gradient_norm"].item()
            raise RunFailed(
                f"the loss is {terms['loss'].item()} at step {self.step + 1} (gradient {norm}): {names}"
            )
        self.optimiser.step()
        self.step += 1
        return terms | {"learning_rate": torch.tensor(rate)}

    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Add up the gradients of a batch's parts; the mean of their terms."""
        step = torch.tensor(self.step, device=self.ranks.device)
        tensors = to_device(batch, self.ranks.device)
        parts = list(
            zip(
                *(
                    tensor.chunk(self.config.train.accumulate)
                    for tensor in tensors.values()
                ),
                strict=True,
            )
        )
        sums: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            waits = self.ranks.size > 1 and index < len(parts) - 1
            with self.running.no_sync() if waits else nullcontext():
                with self._precision():
                    terms = self.running(dict(zip(tensors, part, strict=True)), step)
                (terms["loss"] / len(parts)).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(parts)
        return sums

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean terms over the validation batches, the same crops and noise each time;
        the random state is left as it was."""
        assert self.validation is not None
        self.model.eval()
        count = self.config.train.validation_batches
        sums: dict[str, float] = {}
        with torch.random.fork_rng([self.ranks.device.index] if self.ranks.has_gpu else []):
            torch.manual_seed(VALIDATION_SEED)
            for number in range(count):
                with self._precision():
                    terms = self.model(
                        to_device(self.validation.batch_at(number), self.ranks.device), None
                    )
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value.item() / count
        return self.ranks.mean(sums)

    def save(self, name: str = checkpoint.LAST) -> None:
        """Write a checkpoint, of the leading process alone."""
        if not self.ranks.leads:
            return
        facts = {
            "step": self.step, "best": None if math.isinf(self.best) else self.best, "config": public(self.config),
            "release": self.release.sha256, "code": checkpoint.code_version(), "torch": torch.__version__,
            "loader": {**self.loader.state_dict(), "step": self.step},
        }  # fmt: skip
        checkpoint.save(
            self.out / name,
            self.model,
            facts,
            self.optimiser if name == checkpoint.LAST else None,
        )

    def run(self, progress: Callable[[int, str], object] = lambda step, text: None) -> int:
        """Train to the last step or to a SIGTERM; the step reached."""
        self.out.mkdir(parents=True, exist_ok=True)
        log = (
            Log(self.out, self.step, self.config.train.tensorboard)
            if self.ranks.leads
            else None
        )
        before = {number: signal.signal(number, self._stop) for number in STOPS}
        try:
            if log and not self.step:
                log.write(
                    "data",
                    0,
                    {"train": self.loader.describe(), "parameters": self.parameters},
                )
            self._loop(log, progress)
            self.save()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if log:
                log.close()
        return self.step

    def _loop(self, log: Log | None, progress: Callable[[int, str], object]) -> None:
        config, batches, tokens, places, seconds = (
            self.config.train,
            iter(self.loader),
            0,
            0,
            0.0,
        )
        while self.step < config.steps and not self._all_stop():
            start = time.perf_counter()
            batch = next(batches)
            terms = self.train_step(batch)
            seconds += time.perf_counter() - start
            tokens, places = (
                tokens + int(np.count_nonzero(batch.tokens)),
                places + batch.tokens.size,
            )
            if self._due(config.log_every):
                if log:
                    progress(self.step, self.log_step(log, terms, tokens, places, seconds))
                tokens, places, seconds = 0, 0, 0.0
            if self.validation and self._due(config.validate_every):
                self._judge(log)
            if self.step % config.save_every == 0:
                self.save()

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.train.steps

    def log_step(
        self,
        log: Log,
        terms: Mapping[str, Tensor],
        tokens: int,
        places: int,
        seconds: float,
    ) -> str:
        """Log a step; the line that is shown. tokens/s of all ranks, TFLOP/s of this
        one, MFU where its peak is given."""
        data, peak = self.config.data, self.config.train.peak_tflops
        worked = tokens if data.layout == "packed" else places
        tflops = self.model.flops_per_step(worked, data.tokens_per_bar) / seconds / 1e12
        speed = {"tokens_per_second": tokens * self.ranks.size / seconds, "tflops": tflops}
        values = {name: float(value) for name, value in terms.items()}
        log.write(
            "train",
            self.step,
            {**values, **speed, **({"mfu": tflops / peak} if peak else {})},
        )
        return f"loss {values['loss']:.3f}, {speed['tokens_per_second']:,.0f} tokens/s"

    def _judge(self, log: Log | None) -> None:
        """Validate; keep the best."""
        found = self.validate()
        if log:
            log.write("validation", self.step, found)
        if found["loss"] < self.best:
            self.best = found["loss"]
            self.save(checkpoint.BEST)

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped = True

    def _all_stop(self) -> bool:
        """Whether any rank was told to stop."""
        if stops := self.ranks.mean({"stopped": self.stopped})["stopped"] > 0:
            self.stopped = True
        return stops

    @property
    def parameters(self) -> int:
        """How many the model has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def opening(self) -> str:
        """One line on what is trained, and on what of the data does not fit."""
        facts, data = self.loader.describe(), self.config.data
        others = "judges" if data.songs == "generators" else "generators"
        return (
            f"{facts['songs_used']} songs ({facts['songs_labelled']} labelled, {facts['too_short']} under {data.bars} bars, "
            f"{facts[f'for_{others}']} kept for {others}); {facts['bars_over_share']:.1%} of bars over {data.tokens_per_bar} "
            f"tokens, {facts['notes_cut_share']:.1%} of notes cut ({data.overflow}); {self.parameters:,} parameters on "
            f"{self.ranks.device}"
            + (f"; going on at step {self.step}" if self.step else "")
        )


def train(config: RunConfig, release: str, out: str, cache: str | None = None) -> Trainer:
    """Run a training to its end, with a progress bar on a terminal and plain lines
    otherwise."""
    trainer = Trainer(config, release, out, cache)
    if trainer.ranks.leads:
        print(trainer.opening(), flush=True)
    if trainer.ranks.leads and sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=config.train.steps, initial=trainer.step, unit="step") as bar:
            trainer.run(
                lambda step, text: (
                    bar.set_postfix_str(text, refresh=False),
                    bar.update(step - bar.n),
                )
            )
    else:
        trainer.run(
            lambda step, text: print(
                f"step {step}/{config.train.steps}: {text}", flush=True
            )
        )
    if trainer.ranks.size > 1:
        torch.distributed.destroy_process_group()
    return trainer
