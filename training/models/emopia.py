"""EMOPIA's generator (Hung et al., ISMIR 2021): compound tokens after a step that says the
emotion, pre-trained without it.

One causal transformer over the whole piece, by scaled dot products where theirs had linear
attention; the kind of a step comes first, its other fields by a head each that is given the
kind. The emotion's step is the sum of a class of each axis, so that one net serves songs
with one label, both or none, where theirs are three. Chords and keys are left out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.remi import PAD
from schemas.song import Song
from training.config import AXES, UNLABELLED, DataConfig
from training.data.views import song_of
from training.parts.attention import Layout
from training.parts.backbone import EMBEDDING_STD, StackConfig, backbone_flops, make_stack
from training.parts.compound import (
    BAR_FIELD,
    EMOTION,
    KIND_OF,
    METRICAL,
    NOTE,
    SIZES,
    compound,
    remi,
)
from training.parts.conditioning import N_LEVELS, label_of
from training.parts.sampling import SamplingConfig, in_parts, sample_token

# Of a width of 512; the axes share what the paper gives to the emotion.
EMBEDDED = {
    "kind": 32, "beat": 64, "tempo": 128, "pitch": 512, "velocity": 128, "duration": 128, "arousal": 64, "valence": 64,
}  # fmt: skip
LONGEST_BEAT = 5
"""REMI tokens of a Beat with a Tempo and one note."""


@dataclass(frozen=True)
class EmopiaConfig(StackConfig):
    """pretrain_steps: until then all songs are taught with their emotion hidden, from
    then on those that have a label alone (data.labelled_share puts more of them into a
    batch); without labels (data.supervision 0) it never ends."""

    pretrain_steps: int = 0


class Emopia(nn.Module):
    """p(step | steps before): kind, then each field given the kind."""

    def __init__(self, config: EmopiaConfig, data: DataConfig) -> None:
        super().__init__()
        self.config = config
        self.packed = data.layout == "packed"
        self.length = data.tokens_per_bar
        self.bars = data.bars
        self.pretrain_steps = config.pretrain_steps if data.supervision else math.inf
        sizes = {**SIZES, **dict.fromkeys(AXES, 1 + N_LEVELS)}
        widths = {
            name: max(1, size * config.width // 512) for name, size in EMBEDDED.items()
        }
        self.embeddings: Any = nn.ModuleDict(
            {name: nn.Embedding(sizes[name], widths[name]) for name in sizes}
        )
        self.join = nn.Linear(sum(widths.values()), config.width)
        self.stack: Any = make_stack(config, causal=True)
        self.kind_head = nn.Linear(config.width, SIZES["kind"])
        self.with_kind = nn.Linear(config.width + widths["kind"], config.width)
        self.heads: Any = nn.ModuleDict(
            {name: nn.Linear(config.width, SIZES[name]) for name in KIND_OF}
        )
        nn.init.normal_(self.join.weight, std=EMBEDDING_STD / math.sqrt(len(EMBEDDED)))

    def embed(self, steps: Tensor) -> Tensor:
        """Steps (N, 8), the emotion's two classes last, to (N, width)."""
        fields = enumerate(self.embeddings.values())
        embedded = [embedding(steps[:, n]) for n, embedding in fields]
        return self.join(torch.cat(embedded, -1))

    def fields(self, hidden: Tensor, kind: Tensor) -> dict[str, Tensor]:
        """Logits (N, values) of each field but the kind, given the kind (N) of the
        coming step."""
        conditioned = self.with_kind(torch.cat([hidden, self.embeddings["kind"](kind)], -1))
        return {name: head(conditioned) for name, head in self.heads.items()}

    def forward(
        self, batch: Mapping[str, Tensor], step: Tensor | None
    ) -> dict[str, Tensor]:
        """`loss`, the mean of the fields' cross-entropies over the steps that have them;
        reconstruction, nats a REMI token."""
        tokens = batch["tokens"].long()
        target = batch["target"].long()
        label = batch["label"]
        weight = torch.ones_like(label[:, 0], dtype=torch.float32)
        if step is not None:
            hides = step < self.pretrain_steps
            known = (label != UNLABELLED).any(1)
            label = torch.where(hides, UNLABELLED, label)
            weight = torch.where(hides, 1.0, known.float())
        after = target[:, -1].gather(1, (target[:, -1:] != PAD).sum(2) - 1)
        music = with_room(compound(torch.cat([tokens.flatten(1), after], 1)))
        steps = torch.cat([emotion_step(label), music], 1)[:, None]
        # A place is worked where there is a step to tell: not at the last one.
        layout = Layout.of(steps[:, :, 1:, 0] != 0, self.packed)
        before = layout.gather(steps[:, :, :-1])
        wanted = layout.gather(steps[:, :, 1:])
        kind = wanted[:, 0]
        hidden = self.stack(self.embed(before), layout)
        logits = {"kind": self.kind_head(hidden), **self.fields(hidden, kind)}
        counts = torch.stack([kind != 0, *(kind == of for of in KIND_OF.values())], 1)
        by_field = [logits[name] for name in SIZES]
        each_nll = [_nll(field, wanted[:, n]) for n, field in enumerate(by_field)]
        nll = torch.stack(each_nll, 1) * counts
        weighed = layout.per_token(weight[:, None])[:, None]
        each = (nll * weighed).sum(0) / (counts * weighed).sum(0).clamp(min=1)
        with torch.no_grad():
            likeliest = torch.stack([field.argmax(-1) for field in by_field], 1)
            right = (likeliest == wanted[:, : len(SIZES)]) & counts
        return {
            "loss": each.mean(), "reconstruction": nll.sum() / (target != PAD).sum(),
            "field_accuracy": right.sum() / counts.sum(),
            **{f"{name}_loss": one for name, one in zip(SIZES, each, strict=True)},
        }  # fmt: skip

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion; an axis without a class is unknown, as in
        pre-training."""
        label = label_of(conditioning, n).to(self.join.weight.device)
        return [
            song_of(tokens)
            for tokens in in_parts(
                lambda part, its: self.write(part, bars, its), label, sampling
            )
        ]

    @torch.no_grad()
    def write(self, label: Tensor, bars: int, sampling: SamplingConfig) -> list[np.ndarray]:
        """REMI tokens of a piece for each of the labels (B, 2), held to REMI's grammar
        and to `length` tokens a bar."""
        generator = torch.Generator(label.device).manual_seed(sampling.seed)
        most = 1 + bars * (1 + self.length // 2)
        memory = self.stack.memory(len(label), most, label.device)
        memory.next_bar()
        step, alive = (
            emotion_step(label)[:, 0],
            torch.ones_like(label[:, 0], dtype=torch.bool),
        )
        begun, used, beat, pitch = (torch.zeros_like(label[:, 0]) for _ in range(4))
        written = []
        for _ in range(most):
            embedded = self.embed(step)
            hidden = self.stack.step(embedded, memory, torch.zeros_like(embedded), alive)
            opens = (step[:, 0] == METRICAL) & (step[:, 1] != BAR_FIELD)
            room = (
                (step[:, 0] == NOTE)
                & (used + 3 <= self.length)
                & (pitch + 1 < SIZES["pitch"])
            )
            may = torch.stack([~opens, opens | room], 1)
            kind = METRICAL + sample_token(
                self.kind_head(hidden)[:, METRICAL:].masked_fill(~may, -torch.inf),
                sampling,
                generator,
            )
            logits = self.fields(hidden, kind)
            metrical = kind == METRICAL
            note = kind == NOTE
            last = torch.where(
                (begun == 0) | (used + LONGEST_BEAT > self.length), SIZES["beat"], beat
            )
            rising = {
                name: torch.arange(SIZES[name], device=label.device)
                for name in ("beat", "pitch")
            }
            logits["beat"][
                (rising["beat"] <= last[:, None]) & (rising["beat"] != BAR_FIELD)
            ] = -torch.inf
            logits["pitch"][
                (rising["pitch"] <= pitch[:, None]) & note[:, None]
            ] = -torch.inf
            logits["velocity"][:, 0] = logits["duration"][:, 0] = -torch.inf
            sampled = {
                name: sample_token(logits[name], sampling, generator) * (kind == of)
                for name, of in KIND_OF.items()
            }
            is_bar = sampled["beat"] == BAR_FIELD
            sampled["tempo"] *= ~is_bar
            begun = begun + is_bar
            alive = alive & (begun <= bars)
            if not alive.any():
                break
            step = with_room(torch.stack([kind, *sampled.values()], 1))
            written.append(step * alive[:, None])
            used = torch.where(
                is_bar, 1, used + torch.where(note, 3, 1 + (sampled["tempo"] > 0))
            )
            beat, pitch = torch.where(metrical, sampled["beat"], beat), sampled["pitch"]
        pieces = torch.stack(written, 1)[..., : len(SIZES)]
        return [remi(piece).cpu().numpy().astype(np.uint16) for piece in pieces]

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step over `places` REMI token places, taken
        as two a step."""
        return backbone_flops(
            self,
            self.config.layers,
            self.config.width,
            places // 2,
            self.bars * length // 2,
            n_stacks=1,
        )


def emotion_step(label: Tensor) -> Tensor:
    """The step (B, 1, 8) before a piece: labels (B, 2), whose field has 1 for unknown,
    as 0 says that there is none."""
    step = label.new_zeros(len(label), 1, len(EMBEDDED))
    step[:, 0, 0], step[:, 0, len(SIZES) :] = EMOTION, label + 2
    return step


def with_room(steps: Tensor) -> Tensor:
    """Steps (..., 6) with the emotion's two fields, empty: (..., 8)."""
    return functional.pad(steps, (0, len(AXES)))


def _nll(logits: Tensor, wanted: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), wanted, reduction="none")
