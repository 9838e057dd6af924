"""The same stack in LSTM, for the ablation of attention: bars run on as one sequence, z
added before every layer."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from training.parts.attention import Layout


class State:
    """Hidden states of every layer for writing token by token."""

    def __init__(self, layers: int) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def next_bar(self) -> None:
        """Nothing ends: the state runs over the bar line."""


class RecurrentStack(nn.Module):
    """LSTM layers with the calls of AttentionStack; both directions where it is not
    causal."""

    def __init__(self, width: int, layers: int, dropout: float, causal: bool) -> None:
        super().__init__()
        size = width if causal else width // 2
        self.lstms = nn.ModuleList(
            nn.LSTM(width, size, batch_first=True, bidirectional=not causal)
            for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, hidden: Tensor, layout: Layout, condition: Tensor | None = None
    ) -> Tensor:
        """hidden (N, width) to the same; padding between bars is stepped over."""
        added = 0 if condition is None else layout.per_token(condition)
        flat = layout.mask.flatten(1)
        order = (~flat).to(torch.uint8).argsort(dim=1, stable=True)
        back = order.argsort(1)
        lengths = flat.sum(1).cpu()
        for lstm in self.lstms:
            padded = layout.spread(hidden + added).flatten(1, 2)
            together = padded.gather(1, order[..., None].expand_as(padded))
            packed = pack_padded_sequence(
                together, lengths, batch_first=True, enforce_sorted=False
            )
            out, _ = lstm(packed)
            out, _ = pad_packed_sequence(out, batch_first=True, total_length=flat.shape[1])
            in_place = out.gather(1, back[..., None].expand_as(out))
            by_bar = in_place.view(*layout.mask.shape, -1)
            hidden = hidden + self.dropout(layout.gather(by_bar))
        return self.norm(hidden)

    def memory(self, batch: int, length: int, device: torch.device) -> State:
        """An empty state for `step`."""
        return State(len(self.lstms))

    def step(
        self, hidden: Tensor, memory: State, condition: Tensor, alive: Tensor
    ) -> Tensor:
        """One token more: hidden, condition (B, width); pieces whose bar has ended keep
        their state."""
        for layer, lstm in enumerate(self.lstms):
            before = memory.layers[layer]
            out, after = lstm((hidden + condition)[:, None], before)
            if before is not None:
                after = tuple(
                    torch.where(alive[None, :, None], new, old)
                    for new, old in zip(after, before, strict=True)
                )
            memory.layers[layer] = after
            hidden = hidden + out[:, 0]
        return self.norm(hidden)
