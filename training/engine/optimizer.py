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
    last = config.final_learning_rate
    return last + (config.learning_rate - last) * falls


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weights that are not matrices, embeddings and mixture means do not
    decay."""
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        decays = parameter.ndim == 2 and "embedding" not in name and "means" not in name
        (decaying if decays else others).append(parameter)
    groups = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return optimiser(groups, lr=config.learning_rate)
