"""MODELS: one line a model, imported when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Model(NamedTuple):
    """config: its frozen settings; make: (settings, data settings) to a torch module
    that is Trainable."""

    config: type
    make: Callable[[Any, Any], Any]


def _in(module: str, config: str, model: str) -> Callable[[], Model]:
    """Finds the two classes of a module in training/models when it is called."""

    def load() -> Model:
        found = import_module(f"training.models.{module}")
        return Model(getattr(found, config), getattr(found, model))

    return load


MODELS: dict[str, Callable[[], Model]] = {
    "ccvae": _in("ccvae", "CcvaeConfig", "Ccvae"),
    "control": _in("control", "ControlConfig", "Control"),
    "cvae": _in("cvae", "CvaeConfig", "Cvae"),
    "ec2vae": _in("ec2vae", "Ec2vaeConfig", "Ec2vae"),
    "emopia": _in("emopia", "EmopiaConfig", "Emopia"),
    "emotionbox": _in("emotionbox", "EmotionboxConfig", "Emotionbox"),
    "fadernets": _in("fadernets", "FaderConfig", "FaderNets"),
    "gan_cvae": _in("gan_cvae", "GanConfig", "GanCvae"),
    "judge": _in("judge", "JudgeConfig", "Judge"),
    "musemorphose": _in("musemorphose", "MuseConfig", "MuseMorphose"),
    "semg_gmvae": _in("semg_gmvae", "SemgConfig", "SemgGmvae"),
    "ssvae": _in("ssvae", "SsvaeConfig", "Ssvae"),
}
