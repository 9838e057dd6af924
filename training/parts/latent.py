"""Mixture latents: q(y|x) by Bayes' rule and one KL that covers GMVAE, variance penalty,
mutual information and labels.

The component variances are shared, so that with p̄ = N(Σ_y q_y μ_y, σ²)
    Σ_y q_y KL[q(z|x) ‖ p(z|y)] = KL[q(z|x) ‖ p̄] + Var_q(μ) / 2σ²          Var = E[μ²] − E[μ]²
exactly: eqs. (8)-(10) and (15) of Semg-GMVAE with their misplaced squares mended; Shi et al. (ICML 2020) are the origin.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.parts.bar_prior import BarPrior

LEAST = 1e-20


class MixtureTerms(NamedTuple):
    """Per row: kl (..., d) to the average component, spread (..., d) the part that alpha
    weighs; posterior (..., K); and one number: category, the KL of classes over the
    unlabelled rows."""

    kl: Tensor
    spread: Tensor
    category: Tensor
    posterior: Tensor


class Mixture(nn.Module):
    """K components N(μ_y, σ²) in d dimensions, σ fixed and shared (Music FaderNets:
    e⁻²), means by Xavier."""

    means: Tensor
    log_variance: Tensor

    def __init__(self, classes: int, size: int, sigma: float) -> None:
        super().__init__()
        self.means = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, size)))
        self.register_buffer(
            "log_variance", torch.tensor(2.0 * math.log(sigma)), persistent=False
        )

    def log_odds(self, z: Tensor) -> Tensor:
        """log p(y|z) up to a constant, eq. (3) with p(y) uniform: z (..., d) to (...,
        K), in float32 or better."""
        z, means = (
            (z, self.means) if z.dtype == torch.float64 else (z.float(), self.means.float())
        )
        return -0.5 * (z.unsqueeze(-2) - means).pow(2).sum(-1) * (-self.log_variance).exp()

    def draw(
        self, level: Tensor, drawn: Tensor, strength: float = 1.0, noise: float = 1.0
    ) -> Tensor:
        """z = m + λ(μ_y − m) + noise·σ·ε of classes (n) from ε (n, T, d), m the components'
        midpoint."""
        middle = self.means.mean(0)
        centre = middle + strength * (self.means[level] - middle)
        return centre[:, None] + noise * (0.5 * self.log_variance).exp() * drawn

    def distance(self) -> Tensor:
        """‖μ₁ − μ₀‖ / σ."""
        return (self.means[1] - self.means[0]).norm() * (-0.5 * self.log_variance).exp()


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """KL[N(mean, e^log_variance) ‖ N(other)] of each dimension, in nats."""
    squared = (mean - other_mean).pow(2) + log_variance.exp()
    return 0.5 * (
        other_log_variance - log_variance + squared * (-other_log_variance).exp() - 1
    )


def standard_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL[N(mean, e^log_variance) ‖ N(0, 1)] of each dimension, in nats."""
    nought = torch.zeros_like(mean)
    return gaussian_kl(mean, log_variance, nought, nought)


def free_below(kl: Tensor, free_bits: float, weight: Tensor | None = None) -> Tensor:
    """KL of (B, T, d) in nats a bar: the mean over rows (weighed by (B)) and bars of the
    sum of its dimensions, a dimension's mean not pressed below free_bits."""
    each = kl.mean(1)
    by_dimension = (
        each.mean(0)
        if weight is None
        else (each * weight[:, None]).sum(0) / weight.sum().clamp(min=1)
    )
    return by_dimension.clamp(min=free_bits).sum()


def mixture_kl(
    mean: Tensor,
    log_variance: Tensor,
    log_posterior: Tensor,
    mixture: Mixture,
    label: Tensor,
    mutual_information: bool,
    means: Tensor | None = None,
) -> MixtureTerms:
    """The terms of L_sup and L_unsup (eqs. 5, 10, 14, 15).

    mean, log_variance (..., d) of q(z|x); log_posterior (..., K), log q(y|x); label (...),
    −1 where there is none: a labelled row counts as certain of its class, so its spread is
    0 and its kl is KL[q(z|x) ‖ p(z|y*)]. category: with mutual_information KL[q̄(y) ‖ p(y)]
    of the batch's average, else E KL[q(y|x) ‖ p(y)]; unlabelled rows alone. means: of the
    components, where not the mixture's own, as when they are held still.
    """
    means = mixture.means if means is None else means
    posterior = log_posterior.exp()
    labelled = label >= 0
    certain = functional.one_hot(label.clamp(min=0), posterior.shape[-1]).to(
        posterior.dtype
    )
    weight = torch.where(labelled.unsqueeze(-1), certain, posterior)
    # Sums, not matrix products: autocast would take those down to bfloat16.
    average = (weight.unsqueeze(-1) * means).sum(-2)
    spread = (
        ((weight.unsqueeze(-1) * means.pow(2)).sum(-2) - average.pow(2))
        * (-mixture.log_variance).exp()
        / 2
    )
    kl = gaussian_kl(mean, log_variance, average, mixture.log_variance)
    unlabelled = (~labelled).to(posterior.dtype)
    count = unlabelled.sum().clamp(min=1)
    if mutual_information:
        average_class = (posterior * unlabelled.unsqueeze(-1)).flatten(0, -2).sum(0) / count
        category = _from_uniform(average_class, average_class.clamp(min=LEAST).log()) * (
            unlabelled.sum() > 0
        )
    else:
        category = (_from_uniform(posterior, log_posterior) * unlabelled).sum() / count
    return MixtureTerms(kl, spread, category, posterior)


def _from_uniform(probability: Tensor, log_probability: Tensor) -> Tensor:
    """KL to the uniform distribution over the last dimension; logarithms are handed in,
    since 0·log 0 has no gradient."""
    return (probability * (log_probability + math.log(probability.shape[-1]))).sum(-1)


def cyclical_weight(
    step: Tensor | None, warmup: int, cycle: int, highest: float
) -> Tensor | float:
    """KL weight: 0 for `warmup`, then cycles that rise in their first half (Fu et al.
    2019); without one, `highest`."""
    if step is None:
        return highest
    done = (step - warmup).double()
    rises = (
        (2.0 * (done % cycle + 1) / cycle).clamp(max=1.0)
        if cycle
        else torch.ones_like(done)
    )
    return (highest * torch.where(done < 0, 0.0, rises)).float()


def monotone_weight(
    step: Tensor | None, warmup: int, rise: int, highest: float
) -> Tensor | float:
    """KL weight: 0 for `warmup`, then rises for `rise` steps and stays (Bowman et al.
    2016); without a step, `highest`."""
    if step is None:
        return highest
    done = (step - warmup).double()
    share = ((done + 1) / max(rise, 1)).clamp(max=1.0)
    return (highest * torch.where(done < 0, 0.0, share)).float()


@torch.no_grad()
def prior_latents(
    mixtures: Mapping[str, Mixture | BarPrior],
    conditioning: Mapping[str, int | None],
    n: int,
    bars: int,
    seed: int,
    strength: float = 1.0,
    noise: float = 1.0,
) -> Tensor:
    """z as `draw` of every mixture gives it for each bar, side by side: (n, bars, Σd);
    without a class one at random a piece."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for axis, mixture in mixtures.items():
        (count, size), device, level = (
            mixture.means.shape,
            mixture.means.device,
            conditioning[axis],
        )
        chosen = (
            torch.randint(0, count, (n,), generator=generator)
            if level is None
            else torch.full((n,), level)
        )
        drawn = torch.randn(n, bars, size, generator=generator).to(device)
        parts.append(mixture.draw(chosen.to(device), drawn, strength, noise))
    return torch.cat(parts, -1)
