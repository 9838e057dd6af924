"""Guidance: a decoder that goes beyond what a code changes (Ho and Salimans 2022)."""

from typing import Any

import torch
from torch import Tensor

from training.parts.backbone import Decoder


class Guided:
    """A decoder whose logits are u + w·(c − u): c with its code, u with another, worked side
    by side in one batch. Its codes are both, (B, T, 2·size), c's first."""

    def __init__(self, decoder: Decoder, weight: float) -> None:
        self.decoder, self.weight, self.stack = decoder, weight, self

    def embed_step(self, token: Tensor, beat: Tensor) -> Tensor:
        """(B) to (2B, width)."""
        return self.decoder.embed_step(token, beat).repeat(2, 1)

    def condition(self, codes: Tensor) -> Tensor:
        """(B, T, 2·size) to (2B, T, width)."""
        return self.decoder.condition(torch.cat(codes.chunk(2, -1)))

    def memory(self, batch: int, length: int, device: torch.device) -> Any:
        """An empty memory of 2B."""
        return self.decoder.stack.memory(2 * batch, length, device)

    def step(self, hidden: Tensor, memory: Any, condition: Tensor, alive: Tensor) -> Tensor:
        """One token more: hidden, condition (2B, width); alive (B)."""
        return self.decoder.stack.step(hidden, memory, condition, alive.repeat(2))

    def head(self, hidden: Tensor) -> Tensor:
        """(2B, width) to logits (B, vocabulary)."""
        with_code, without = self.decoder.head(hidden).chunk(2)
        return without + self.weight * (with_code - without)
