"""Where a process works: its place among those of torchrun, and its device."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.config import DataConfig, RunConfig, TrainConfig
from training.data.cache import prepare
from training.data.loader import Batch
from training.data.release import Release
from training.errors import RunFailed


@dataclass(frozen=True)
class Ranks:
    """This process among those of torchrun, and the device it works on."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def has_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value's mean over the ranks."""
        if self.size == 1:
            return dict(values)
        whole = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(whole)
        return dict(zip(values, (whole / self.size).tolist(), strict=True))


def find_ranks(config: TrainConfig) -> Ranks:
    """The place torchrun gave this process, or the only one; RunFailed where a GPU is wanted
    and there is none."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    size = int(os.environ.get("WORLD_SIZE", 1))
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RunFailed(
            "there is no GPU here for train.device = cuda: set train.device=cpu or auto"
        )
    device = torch.device(name, local) if name == "cuda" else torch.device(name)
    if name == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if config.threads:
        torch.set_num_threads(config.threads)
    if size > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if name == "cuda" else "gloo")
    return Ranks(int(os.environ.get("RANK", 0)), size, device)


def prepared(release: Release, data: DataConfig, cache: str | None, ranks: Ranks) -> Path:
    """The flat files of a release; the leading process makes them while the others wait."""
    if ranks.size > 1 and not ranks.leads:
        torch.distributed.barrier()
    folder = prepare(release, data, cache)
    if ranks.size > 1 and ranks.leads:
        torch.distributed.barrier()
    return folder


def autocast(precision: str, ranks: Ranks) -> AbstractContextManager[Any]:
    """The precision in which losses are worked out; auto is bfloat16 on a GPU."""
    if precision == "bfloat16" or (precision == "auto" and ranks.has_gpu):
        return torch.autocast(ranks.device.type, torch.bfloat16)
    return nullcontext()


def running_model(model: nn.Module, config: RunConfig, ranks: Ranks) -> Any:
    """The model as it is trained: compiled, and in step with the other ranks."""
    running: Any = model
    compiles = config.train.compile
    if compiles == "on" or (compiles == "auto" and ranks.has_gpu):
        running = torch.compile(running, dynamic=config.data.layout == "packed")
    if ranks.size > 1:
        own = [ranks.device.index] if ranks.has_gpu else None
        running = nn.parallel.DistributedDataParallel(running, device_ids=own)
    return running


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The arrays a model reads, as tensors on its device."""
    names = ("tokens", "target", "rhythm", "key", "label")
    arrays = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(batch, name))) for name in names
    }
    return {name: array.to(device, non_blocking=True) for name, array in arrays.items()}
