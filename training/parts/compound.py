"""Compound tokens (Hsiao et al., AAAI 2021): REMI tokens as steps of several fields, and
back, without loss in REMI's grammar.

A step is metrical (a Bar, or a Beat with its Tempo, if any), a note (Pitch, Velocity,
Duration) or the end. In every field 0 says that the step has none. The track stands in the
pitch alone.
"""

import torch
from torch import Tensor
from torch.nn import functional

from schemas.remi import (  # fmt: skip
    BAR_TOKEN,
    BEAT,
    DURATION,
    EOS,
    N_BEATS,
    N_DURATIONS,
    N_PITCHES,
    N_TEMPI,
    N_VELOCITIES,
    PAD,
    PITCH,
    TEMPO_TOKEN,
    VELOCITY,
    VOCABULARY_SIZE,
)

END, EMOTION, METRICAL, NOTE = 1, 2, 3, 4
BAR_FIELD = 1
"""Value of `beat` for a Bar; beats follow."""
SIZES = {
    "kind": 5, "beat": 2 + N_BEATS, "tempo": 1 + N_TEMPI, "pitch": 1 + VELOCITY - PITCH,
    "velocity": 1 + N_VELOCITIES, "duration": 1 + N_DURATIONS,
}  # fmt: skip
"""Fields of a step in their order, and how many values each has."""
KIND_OF = {
    "beat": METRICAL,
    "tempo": METRICAL,
    "pitch": NOTE,
    "velocity": NOTE,
    "duration": NOTE,
}
ROUND = 16


def compound(tokens: Tensor) -> Tensor:
    """REMI tokens (B, N), PAD anywhere between bars, to steps (B, S, 6), all-0 after the
    last; S in steps of 16.

    A note without its velocity and duration, as a cut tail leaves, is left out.
    """
    one, two = functional.pad(tokens, (0, 2), value=PAD)[:, 1:].unfold(1, 2, 1).unbind(-1)
    beat, tempo = _within(tokens, BEAT, TEMPO_TOKEN), _within(one, TEMPO_TOKEN, PITCH)
    note = (
        _within(tokens, PITCH, VELOCITY)
        & _within(one, VELOCITY, DURATION)
        & _within(two, DURATION, VOCABULARY_SIZE)
    )
    is_bar, is_end = tokens == BAR_TOKEN, tokens == EOS
    kind = METRICAL * (is_bar | beat) + NOTE * note + END * is_end
    steps = torch.stack([
        kind, BAR_FIELD * is_bar + (tokens - BEAT + BAR_FIELD + 1) * beat, (one - TEMPO_TOKEN + 1) * (beat & tempo),
        (tokens - PITCH + 1) * note, ((one - VELOCITY) % N_VELOCITIES + 1) * note, ((two - DURATION) % N_DURATIONS + 1) * note,
    ], -1)  # fmt: skip
    longest = -(-int((kind > 0).sum(1).max()) // ROUND) * ROUND
    first = (kind == 0).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
    return steps.gather(1, first[..., None].expand(-1, -1, len(SIZES)))


def remi(steps: Tensor) -> Tensor:
    """The REMI tokens (N) that one piece's steps (S, 6) say."""
    kind, beat, tempo, pitch, velocity, duration = steps.unbind(-1)
    metrical, note, track = kind == METRICAL, kind == NOTE, (pitch - 1) // N_PITCHES
    start = torch.where(beat == BAR_FIELD, BAR_TOKEN, BEAT + beat - BAR_FIELD - 1)
    tokens = torch.stack([
        start * metrical + (PITCH + pitch - 1) * note + EOS * (kind == END),
        (TEMPO_TOKEN + tempo - 1) * (metrical & (tempo > 0)) + (VELOCITY + track * N_VELOCITIES + velocity - 1) * note,
        (DURATION + track * N_DURATIONS + duration - 1) * note,
    ], -1).flatten()  # fmt: skip
    return tokens[tokens != PAD]


def _within(tokens: Tensor, first: int, stop: int) -> Tensor:
    return (tokens >= first) & (tokens < stop)
