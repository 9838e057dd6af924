"""The optimiser of a run, and its learning rate at each step."""

import math

import torch
from torch import nn

from training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to final_learning_rate at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    falls = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return (
        config.final_learning_rate
        + (config.learning_rate - config.final_learning_rate) * falls
    )


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weights that are not matrices, embeddings and mixture means do not
    decay."""
    decays = {
        name
        for name, p in model.named_parameters()
        if p.ndim == 2 and "embedding" not in name and "means" not in name
    }
    groups = [
        {
            "params": [p for name, p in model.named_parameters() if (name in decays) is on],
            "weight_decay": weight,
        }
        for on, weight in ((True, config.weight_decay), (False, 0.0))
    ]
    return (torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam)(
        groups, lr=config.learning_rate
    )
