"""A prior over the bars of a piece, fitted once a model is trained: a Gaussian of each class
whose bars carry on from one another.

    z_t = m_y + r_t,   r_t = c·r_{t−1} + √(1 − c²)·s·ε_t
of each dimension, with s² the variance of bars about their class, posterior noise included,
and c the correlation of a bar with the one before. A mixture's own components have neither
the spread of real bars nor their memory.
"""

import torch
from torch import Tensor, nn

MOST_CARRIED = 0.99


class BarPrior(nn.Module):
    """m (K, d), s and c (d), zeros before `fit`."""

    means: Tensor
    deviation: Tensor
    carry: Tensor

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(classes, size))
        self.register_buffer("deviation", torch.zeros(size))
        self.register_buffer("carry", torch.zeros(size))

    def fit(self, mean: Tensor, log_variance: Tensor, label: Tensor) -> None:
        """By moments of q(z|x) of songs, (n, T, d) each; label (n), −1 left out. Nothing is
        changed where a class has no song."""
        classes = len(self.means)
        if not all((label == level).any() for level in range(classes)):
            return
        mean, log_variance = mean[label >= 0], log_variance[label >= 0]
        label = label[label >= 0]
        middles = [mean[label == level].mean((0, 1)) for level in range(classes)]
        self.means.copy_(torch.stack(middles))
        away = mean - self.means[label][:, None]
        variance = away.pow(2).mean((0, 1)) + log_variance.exp().mean((0, 1))
        together = (away[:, 1:] * away[:, :-1]).mean((0, 1)).nan_to_num()
        self.deviation.copy_(variance.sqrt())
        self.carry.copy_((together / variance).clamp(0, MOST_CARRIED))

    def draw(
        self, level: Tensor, drawn: Tensor, strength: float = 1.0, noise: float = 1.0
    ) -> Tensor:
        """z (n, T, d) of classes (n) from standard normal (n, T, d), λ from the middle
        between classes."""
        middle = self.means.mean(0)
        centre = middle + strength * (self.means[level] - middle)
        away = drawn[:, 0]
        bars = [away]
        for fresh in drawn[:, 1:].unbind(1):
            away = self.carry * away + (1 - self.carry.pow(2)).sqrt() * fresh
            bars.append(away)
        return centre[:, None] + noise * self.deviation * torch.stack(bars, 1)
