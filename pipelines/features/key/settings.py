"""Settings of the key feature."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

_CHANCES = ("uniform", "change", "phrase_change")
_COSTS = ("fifths_cost", "mode_cost", "parallel_cost", "relative_cost")
_TEMPERATURES = ("song_temperature", "path_temperature")
_LARGEST_COST = 50


@dataclass(frozen=True)
class KeyConfig:
    """How keys are found; all but `method` are for `hmm`: natural logarithms or
    probabilities, chosen by measurement.

    method: "hmm" or "ks_bar". uniform: share of an even profile mixed into each published
    one. evidence: weight of a bar's pitch classes; at 20 the key follows passing
    modulations too, as an analyst of chorales does, at the default it changes where a new
    signature would stand. around: weight of the song model's scores for the nine bars
    around a bar. bass_tonic, bass_subdominant: for a bar whose first bass note is the
    tonic, the fourth degree. phrase_bass: for an eight-bar phrase that starts over its
    tonic. first_bass, last_bass: for a song that starts and ends so. melody_phrase,
    melody_last: for a phrase and a song that end on the tonic, where there is one voice
    alone. change, phrase_change: chance of moving to the key a fifth away at any bar, at
    the start of a phrase; others are less likely by fifths_cost a step of the circle and
    mode_cost for a change of mode, the parallel and relative keys by parallel_cost and
    relative_cost alone. gain, melody_gain: a song modulates where the path through its bars
    is likelier than one key throughout, by this much a bar, melody_gain for one voice
    alone. song_temperature, path_temperature: what the song's scores and the path's
    evidence are divided by for key_confidence, as notes of one song do not speak
    independently.
    """

    method: Literal["hmm", "ks_bar"] = "hmm"
    uniform: float = 0.103
    evidence: float = 1.36
    around: float = 0.1
    bass_tonic: float = 0.0751
    bass_subdominant: float = -0.273
    phrase_bass: float = 0.669
    first_bass: float = 0.436
    last_bass: float = 0.242
    melody_phrase: float = 0.299
    melody_last: float = 1.78
    change: float = 0.00394
    phrase_change: float = 0.0665
    fifths_cost: float = 0.224
    mode_cost: float = 8.4
    parallel_cost: float = 3.58
    relative_cost: float = 2.36
    gain: float = 0.09
    melody_gain: float = 0.02
    song_temperature: float = 1.15
    path_temperature: float = 2.0

    def __post_init__(self) -> None:
        methods = get_args(KeyConfig.__annotations__["method"])
        if self.method not in methods:
            known = ", ".join(methods)
            raise ValueError(f"unknown key method {self.method!r}: known are {known}")
        for name in _CHANCES:
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} must be over 0 and under 1, not {value}")
        # A move must stay possible in numbers too, or a song that contradicts it has no
        # posterior.
        for name in _COSTS:
            value = getattr(self, name)
            if not 0 <= value <= _LARGEST_COST:
                raise ValueError(f"{name} must lie in [0, {_LARGEST_COST}], not {value}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "method" and not math.isfinite(value):
                raise ValueError(f"{field.name} must be a number, not {value}")
        for name in _TEMPERATURES:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
