"""Semg-GMVAE (Xu and Liu, Computer Science 51(8), 2024): a semi-supervised Gaussian-mixture
VAE of emotion in music.

To Music FaderNets' GM-VAE (parts/gaussian_mixture_vae.py) it adds a variance penalty, eq.
(10), mutual information, eq. (14), and an adversary, eq. (16).
"""

from dataclasses import dataclass
from typing import Literal

from training.parts.gaussian_mixture_vae import GmVae
from training.parts.mixture_settings import GmVaeConfig


@dataclass(frozen=True)
class SemgConfig(GmVaeConfig):
    """GmVaeConfig as the paper sets it."""

    alpha: float = 0.2
    mutual_information: bool = True
    adversary: Literal["paper", "reversal", "none"] = "paper"


class SemgGmvae(GmVae):
    """The Gaussian-mixture VAE with the settings of SemgConfig."""
