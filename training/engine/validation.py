"""The validation of a run: the same crops and the same noise each time."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from training.config import RunConfig
from training.data.cache import open_split
from training.data.loader import Loader
from training.engine.distributed import Ranks, autocast, to_device

VALIDATION_SEED = 1


def validation_loader(folder: Path, config: RunConfig, ranks: Ranks) -> Loader | None:
    """Batches of the validation split with all labels it has, or None where it has no song
    that is long enough."""
    split = open_split(folder, "validation")
    usable = split.n_bars >= config.data.bars
    if not usable.any():
        return None
    labelled = config.data.supervision > 0 and (split.labels[usable] >= 0).any()
    data = replace(config.data, supervision=float(labelled), labelled_share=-1.0)
    share = (ranks.rank, ranks.size)
    return Loader(split, data, config.train.batch, VALIDATION_SEED, *share, held_out=True)


@torch.no_grad()
def validate(
    model: nn.Module, batches: Loader, count: int, ranks: Ranks, precision: str
) -> dict[str, float]:
    """Mean terms over the first `count` batches and all ranks; the random state is left as
    it was."""
    model.eval()
    gpus = [ranks.device.index] if ranks.has_gpu else []
    sums: dict[str, float] = {}
    with torch.random.fork_rng(gpus):
        torch.manual_seed(VALIDATION_SEED)
        for number in range(count):
            with autocast(precision, ranks):
                tensors = to_device(batches.batch_at(number), ranks.device)
                terms = model(tensors, None)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item() / count
    return ranks.mean(sums)
