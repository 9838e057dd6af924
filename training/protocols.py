"""What the rest of the package asks of a model: that it learns, and the abilities it may
have."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from training.errors import RunFailed

if TYPE_CHECKING:
    from torch import Tensor

    from schemas.song import Song
    from training.parts.latent import Mixture
    from training.parts.sampling import SamplingConfig


class Trainable(Protocol):
    """What every model can: learn."""

    def forward(
        self, batch: "Mapping[str, Tensor]", step: "Tensor | None"
    ) -> "dict[str, Tensor]":
        """`loss` and its terms, a number each, at a step; None: every schedule at its
        end, for validation."""

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of a training step over `places` token places in bars of
        `length`."""


@runtime_checkable
class Settling(Protocol):
    """Puts parts of itself where labelled songs lie, before some of its steps."""

    def settles_at(self, step: int) -> bool:
        """Whether it is to be done before this step."""

    def fit_prior(self, tokens: "Sequence[Tensor]", labels: "Sequence[Tensor]") -> None:
        """The same once it is trained, for what it draws pieces from."""

    def settle(self, tokens: "Sequence[Tensor]", labels: "Sequence[Tensor]") -> None:
        """tokens (B, T, L) and labels (B, 2) of batches of labelled songs."""


@runtime_checkable
class Generator(Protocol):
    """Writes music of an emotion."""

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: "SamplingConfig",
    ) -> "list[Song]":
        """n pieces; conditioning: LOW, HIGH or None (any) of each axis."""


@runtime_checkable
class Steered(Protocol):
    """Writes an emotion as strongly as SamplingConfig's strength, noise and contrast ask."""

    steered_by: str


@runtime_checkable
class Autoencoder(Protocol):
    """Writes a song again from latents."""

    def encode(self, tokens: "Tensor") -> "dict[str, tuple[Tensor, Tensor]]":
        """tokens (B, T, L) to mean and log variance (B, T, d) of each axis's latent, in the
        order of AXES."""

    def write(self, z: "Tensor", sampling: "SamplingConfig") -> "list[Song]":
        """A piece from each of (B, T, Σd)."""


@runtime_checkable
class Decoder(Protocol):
    """Tells the next token from latents."""

    def decode(self, tokens: "Tensor", z: "Tensor") -> "Tensor":
        """Logits (B, T, L, vocabulary) of each next token, from latents (B, T, Σd)."""


@runtime_checkable
class Classifier(Protocol):
    """Tells the emotion of a song."""

    def odds(self, tokens: "Tensor") -> "dict[str, Tensor]":
        """Log-odds of high against low for each axis and bar: tokens (B, T, L) to (B,
        T)."""


@runtime_checkable
class FeaturePredictor(Protocol):
    """Tells rhythm and key from latents."""

    def predict(self, axis: str, z: "Tensor") -> "Tensor":
        """arousal: onsets (B, T, 16), valence: key (B, T), from the axis's latent (B, T,
        d)."""


@runtime_checkable
class Clustered(Protocol):
    """Moves a song to another emotion: latents lie in clusters, one a class."""

    mixtures: "Mapping[str, Mixture]"


# What a model without an ability cannot do, in words that end a sentence.
ABILITIES = {
    Generator: "write music of an emotion",
    Steered: "write an emotion more or less strongly",
    Autoencoder: "write a song again from latents",
    Decoder: "tell the next token from latents",
    Classifier: "tell the emotion of a song",
    FeaturePredictor: "tell rhythm and key from latents",
    Clustered: "turn a song to another emotion",
}


def require(model: Any, ability: Any) -> Any:
    """The model, where it has the ability; else RunFailed says what it cannot."""
    if not isinstance(model, ability):
        raise RunFailed(
            f"a {type(model).__name__} cannot {ABILITIES[ability]}: give a run of a model that can"
        )
    return model
