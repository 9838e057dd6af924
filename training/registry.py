"""MODELS: one line a model; each is imported when it is asked for."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Model(NamedTuple):
    """config: its frozen settings; make: (settings, data settings) -> torch module with the methods of models/semg_gmvae.py."""

    config: type
    make: Callable[[Any, Any], Any]


def _semg_gmvae() -> Model:
    from training.models.semg_gmvae import SemgConfig, SemgGmvae

    return Model(SemgConfig, SemgGmvae)


MODELS: dict[str, Callable[[], Model]] = {"semg_gmvae": _semg_gmvae}
