"""MuseMorphose (Wu and Yang, TASLP 31, 2023): a VAE of bars whose decoder hears each bar's
class of rhythm and polyphony.

It needs no emotion labels, and emotion is set by hand when it writes (parts/attributes.py:
high arousal is dense; valence has no handle). The class is one-hot beside z, and the
decoder's linear map to every layer makes an embedding of it (in-attention). The paper pools
a bar by the state of its Bar token and decodes over the whole excerpt; the backbone takes the
mean and looks back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from training.config import DataConfig
from training.parts.attributes import AttributeConfig, AttributeVae
from training.parts.bar_vae import Terms


@dataclass(frozen=True)
class MuseConfig(AttributeConfig):
    """As published: β in cycles, from 0 and never under it, and free bits."""

    free_bits: float = 0.25


class MuseMorphose(AttributeVae):
    """The ELBO with the classes of attributes as condition."""

    def __init__(self, config: MuseConfig, data: DataConfig) -> None:
        super().__init__(config, data, len(config.rhythm_bounds) + 1)

    def condition(self, values: Tensor) -> Tensor:
        """The class of each attribute, one-hot: (B, T, 2) to (B, T, 2, classes)."""
        return functional.one_hot(
            self.ordinal(values).sum(-1).long(), self.bounds.shape[1] + 1
        ).float()

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step."""
        return self.elbo(batch, step)[0]
