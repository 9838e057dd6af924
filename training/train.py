"""Train: one plain loop, from a run file and a release to a folder with checkpoints and a log; goes on where it stopped."""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training import checkpoint
from training.config import RunConfig, RunFailed, TrainConfig
from training.data import Batch, Loader, as_plain, describe, open_release, open_split, prepare
from training.registry import MODELS

VALIDATION_SEED = 1
STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class World:
    """This process among those of torchrun, and the device it works on."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0


def find_world(config: TrainConfig) -> World:
    """The place torchrun gave this process, or a world of one."""
    local, size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    name = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RunFailed("there is no GPU here for train.device = cuda: set train.device=cpu or auto")
    device = torch.device(name, local) if name == "cuda" else torch.device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if size > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(int(os.environ.get("RANK", 0)), size, device)


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The arrays a model reads, as tensors on its device."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(getattr(batch, name))).to(device, non_blocking=True)
        for name in ("tokens", "target", "rhythm", "key", "label")
    }


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to final_learning_rate at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    falls = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * falls


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weights that are not matrices, embeddings and mixture means do not decay."""
    decays = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name and "means" not in name]
    held = {id(p) for p in decays}
    others = [p for p in model.parameters() if id(p) not in held]
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(
        [{"params": decays, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
    )


class Log:
    """log.jsonl and TensorBoard of the leading process; on resume, what was logged after the checkpoint is taken off."""

    def __init__(self, out: Path, step: int, tensorboard: bool) -> None:
        self.path = out / "log.jsonl"
        kept = []
        if self.path.exists() and step:
            kept = [line for line in self.path.read_text().splitlines(True) if json.loads(line).get("step", 0) <= step]
        self.path.write_text("".join(kept))
        self.board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(out / "tensorboard"), purge_step=step or None)
            except ImportError:
                pass

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers also to TensorBoard."""
        with self.path.open("a") as stream:
            stream.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            if self.board is not None and isinstance(value, float):
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


class Pace:
    """True tokens, worked places and seconds since the last line of the log."""

    def __init__(self) -> None:
        self.tokens, self.places, self.seconds = 0, 0, 0.0

    def add(self, batch: Batch, seconds: float) -> None:
        """Count a step."""
        self.tokens += int(np.count_nonzero(batch.tokens))
        self.places += batch.tokens.size
        self.seconds += seconds


class Trainer:
    """Model, optimiser and data of one run, at one step."""

    def __init__(self, config: RunConfig, release_url: str, out: str, cache: str | None = None) -> None:
        self.config, self.out, self.world = config, Path(out), find_world(config.train)
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        self.release = open_release(release_url)
        folder = self._prepared(cache)
        share = (self.world.rank, self.world.size)
        self.loader = Loader(open_split(folder, "train"), config.data, config.train.batch, config.train.seed, *share)
        quiet = replace(config.data, supervision=1.0 if config.data.supervision else 0.0, labelled_share=-1.0)
        self.validation = self._validation(folder, quiet, share)
        torch.manual_seed(config.train.seed)
        self.model = MODELS[config.kind]().make(config.model, config.data).to(self.world.device)
        self.optimiser = make_optimiser(self.model, config.train)
        self.step, self.best, self.stopped = 0, math.inf, False
        self._resume()
        # Ranks draw their noise apart; a single process keeps the stream it was restored to.
        if self.world.size > 1:
            torch.manual_seed(config.train.seed + 1000 * self.step + self.world.rank)
        self.running: Any = self._running()

    def _prepared(self, cache: str | None) -> Path:
        """The flat files; the leading process makes them, the others wait."""
        if self.world.size == 1:
            return prepare(self.release, self.config.data, cache)
        if not self.world.leads:
            torch.distributed.barrier()
        folder = prepare(self.release, self.config.data, cache)
        if self.world.leads:
            torch.distributed.barrier()
        return folder

    def _validation(self, folder: Path, data: Any, share: tuple[int, int]) -> Loader | None:
        split = open_split(folder, "validation")
        if not (split.n_bars >= data.bars).any():
            return None
        if not (split.labels[split.n_bars >= data.bars] >= 0).any():
            data = replace(data, supervision=0.0)
        return Loader(split, data, self.config.train.batch, VALIDATION_SEED, *share, judges=True)

    def _running(self) -> nn.Module:
        config, model = self.config.train, self.model
        if config.compile == "on" or (config.compile == "auto" and self.world.device.type == "cuda"):
            model = torch.compile(model, dynamic=self.config.data.layout == "packed")
        if self.world.size > 1:
            ids = [self.world.device.index] if self.world.device.type == "cuda" else None
            model = nn.parallel.DistributedDataParallel(model, device_ids=ids, find_unused_parameters=self.config.model.vanilla)
        return model

    def _resume(self) -> None:
        path = self.out / checkpoint.LAST
        if not path.exists():
            return
        found = checkpoint.read(path)
        wanted = as_plain(self.config)
        for name in ("kind", "model", "data"):
            if found.facts["config"][name] != wanted[name]:
                raise RunFailed(
                    f"{path} was trained with another {name} setting: train into a new --out, or restore the old settings"
                )
        if found.facts["release"] != self.release.sha256:
            raise RunFailed(
                f"{path} was trained on another release than {self.release.url}: train into a new --out, or give that release"
            )
        checkpoint.restore_model(self.model, found, path)
        checkpoint.restore_training(self.optimiser, found)
        self.loader.load_state_dict(found.facts["loader"])
        self.step = found.facts["step"]
        self.best = math.inf if found.facts["best"] is None else found.facts["best"]

    def _precision(self) -> Any:
        """The autocast in which losses are worked out."""
        wanted = self.config.train.precision
        if wanted == "bfloat16" or (wanted == "auto" and self.world.device.type == "cuda"):
            return torch.autocast(self.world.device.type, torch.bfloat16)
        return nullcontext()

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step on one batch; its terms. RunFailed, with the songs named, where the loss is not a number."""
        config = self.config.train
        self.running.train()
        rate = learning_rate(config, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        weight = torch.tensor(self.model.kl_weight_at(self.step), device=self.world.device)
        tensors = to_device(batch, self.world.device)
        parts = [
            dict(zip(tensors, values, strict=True))
            for values in zip(*(t.chunk(config.accumulate) for t in tensors.values()), strict=True)
        ]
        sums: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            waits = self.world.size > 1 and index < len(parts) - 1
            with self.running.no_sync() if waits else nullcontext():
                with self._precision():
                    terms = self.running(part, weight)
                (terms["loss"] / len(parts)).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(parts)
        sums["gradient_norm"] = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        if not torch.isfinite(sums["loss"] + sums["gradient_norm"]):
            names = ", ".join(
                f"{self.loader.split.ids[song]} from bar {start}" for song, start in zip(batch.song, batch.start, strict=True)
            )
            raise RunFailed(
                f"the loss is {sums['loss'].item()} at step {self.step + 1} (gradient {sums['gradient_norm'].item()}): {names}"
            )
        self.optimiser.step()
        self.step += 1
        return sums | {"learning_rate": torch.tensor(rate), "kl_weight": weight}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean terms over the validation batches, the same crops and noise each time; the random state is left as it was."""
        assert self.validation is not None
        self.model.eval()
        weight = torch.tensor(float(self.config.model.kl_weight), device=self.world.device)
        sums: dict[str, float] = {}
        devices = [self.world.device.index] if self.world.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(VALIDATION_SEED)
            for step in range(self.config.train.validation_batches):
                batch = self.validation.batch_at(step)
                with self._precision():
                    terms = self.model(to_device(batch, self.world.device), weight)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value.item() / self.config.train.validation_batches
        return sums

    def save(self, name: str = checkpoint.LAST) -> None:
        """Write a checkpoint, of the leading process alone."""
        if not self.world.leads:
            return
        facts = {
            "step": self.step, "best": None if math.isinf(self.best) else self.best, "config": as_plain(self.config),
            "release": self.release.sha256, "code": checkpoint.code_version(), "torch": torch.__version__,
            "loader": {**self.loader.state_dict(), "step": self.step},
        }  # fmt: skip
        checkpoint.save(self.out / name, self.model, facts, self.optimiser if name == checkpoint.LAST else None)

    def run(self, progress: Callable[[int, int, str], object] = lambda step, steps, text: None) -> int:
        """Train to the last step or to a SIGTERM; the step reached."""
        config = self.config.train
        self.out.mkdir(parents=True, exist_ok=True)
        log = Log(self.out, self.step, config.tensorboard) if self.world.leads else None
        if log and not self.step:
            parameters = sum(parameter.numel() for parameter in self.model.parameters())
            log.write("data", 0, {"train": describe(self.loader), "parameters": parameters})
        before = {number: signal.signal(number, self._stop) for number in STOPS}
        batches, pace = iter(self.loader), Pace()
        try:
            while self.step < config.steps and not self._all_stop():
                start = time.perf_counter()
                batch = next(batches)
                terms = self.learn(batch)
                pace.add(batch, time.perf_counter() - start)
                if log and self._due(config.log_every):
                    progress(self.step, config.steps, self._tell(log, terms, pace))
                    pace = Pace()
                if self.validation and self._due(config.validate_every):
                    self._judge(log)
                if self.step % config.save_every == 0:
                    self.save()
            self.save()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if log:
                log.close()
        return self.step

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.train.steps

    def _tell(self, log: Log, terms: Mapping[str, Tensor], pace: Pace) -> str:
        """Log a step; the line that is shown. tokens/s of all ranks, TFLOP/s of this one, MFU where its peak is given."""
        config, world = self.config, self.world
        places = pace.tokens if config.data.layout == "packed" else pace.places
        tflops = self.model.flops_per_step(places, config.data.tokens_per_bar) / pace.seconds / 1e12
        speed = {"tokens_per_second": pace.tokens * world.size / pace.seconds, "tflops": tflops}
        if config.train.peak_tflops:
            speed["mfu"] = tflops / config.train.peak_tflops
        values = {name: float(value) for name, value in terms.items()}
        log.write("train", self.step, {**values, **speed})
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
        if self.world.size == 1:
            return self.stopped
        flag = torch.tensor(int(self.stopped), device=self.world.device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return bool(flag.item())


def opening(trainer: Trainer) -> str:
    """One line on what is trained, and on what of the data does not fit."""
    facts, data = describe(trainer.loader), trainer.config.data
    return (
        f"{facts['songs_used']} songs ({facts['songs_labelled']} labelled, {facts['too_short']} under {data.bars} bars, "
        f"{facts['for_judges']} kept for judges); {facts['bars_over_share']:.1%} of bars over {data.tokens_per_bar} tokens, "
        f"{facts['notes_cut_share']:.1%} of notes cut ({data.overflow}); "
        f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters on {trainer.world.device}"
        + (f"; going on at step {trainer.step}" if trainer.step else "")
    )


def train(config: RunConfig, release: str, out: str, cache: str | None = None) -> Trainer:
    """Run a training to its end, with a progress bar on a terminal and plain lines otherwise."""
    trainer = Trainer(config, release, out, cache)
    if trainer.world.leads:
        print(opening(trainer), flush=True)
    if trainer.world.leads and sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=config.train.steps, initial=trainer.step, unit="step") as bar:
            trainer.run(lambda step, steps, text: (bar.set_postfix_str(text, refresh=False), bar.update(step - bar.n)))
    else:
        trainer.run(lambda step, steps, text: print(f"step {step}/{steps}: {text}", flush=True))
    if trainer.world.size > 1:
        torch.distributed.destroy_process_group()
    return trainer
