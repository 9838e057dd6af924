"""Settings of the Gaussian-mixture VAE, parts/gaussian_mixture_vae.py."""

from dataclasses import dataclass
from typing import Literal

from training.config import AXES
from training.parts.bar_vae import VaeConfig


@dataclass(frozen=True)
class GmVaeConfig(VaeConfig):
    """The settings of the family, with *_weight what the papers leave out.

    sigma: of every component, fixed and shared, as eq. (7) assumes; alpha: eq. (10);
    mutual_information: eq. (14), both on unlabelled songs alone as in eq. (17); adversary:
    see parts/adversary.py; vanilla: the ELBO alone (alpha 1, no mutual information, no
    feature terms); label_weight: of a cross-entropy of q(y|x) on labelled songs, 0 as the
    paper has it (1: Music FaderNets); below free_bits a label teaches nothing unless it is
    set. temperature divides the log-odds of q(y|x). adversary_weight is beside the
    feature's own.

    start: where components begin, by Xavier or at the means of the labelled classes (3.1),
    which are encoded once at the start and after the KL's warm-up. components: learned
    `joint`ly through the one KL, or `follow` a posterior held still at full weight, and
    free bits are of the encoder's KL alone. tempo: which latents a third head reads each
    bar's tempo from; tempo_weight: of it. prior: what pieces are drawn from, the
    `components`, or a Gaussian of each class over bars that is `fitted` to labelled songs
    after training (parts/bar_prior.py). inferred: the axes whose class is inferred for
    unlabelled songs; of another axis they are only held to the middle between its
    components, as where what tells it, such as loudness, means another thing in every
    corpus. unit_scale: whether decoders are given z / sigma.
    """

    sigma: float = 0.1353352832366127
    alpha: float = 1.0
    mutual_information: bool = False
    adversary: Literal["paper", "reversal", "none"] = "none"
    vanilla: bool = False
    rhythm_weight: float = 1.0
    key_weight: float = 1.0
    adversary_weight: float = 1.0
    category_weight: float = 1.0
    label_weight: float = 0.0
    temperature: float = 1.0
    start: Literal["xavier", "labels"] = "xavier"
    components: Literal["joint", "follow"] = "joint"
    tempo: Literal["none", "arousal", "valence", "both"] = "none"
    tempo_weight: float = 1.0
    inferred: tuple[str, ...] = AXES
    prior: Literal["components", "fitted"] = "components"
    unit_scale: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma <= 0 or self.temperature <= 0:
            raise ValueError("sigma and temperature must be over 0")
        if set(self.inferred) - set(AXES):
            raise ValueError(f"inferred must be some of {', '.join(AXES)}")
