"""Attention over bars with the previous bar as memory: Transformer-XL's forward pass, all
bars at once.

A token sees its own bar and the one before it, layer by layer, so n layers reach n bars
back (Dai et al. 2019; eq. 18 of Semg-GMVAE). Written as a banded mask this needs no loop
over bars; tests hold it equal to the loop. Positions are relative (rotary, Su et al. 2021),
counted on through the padded bars, and z is added before every layer (in-attention,
MuseMorphose). Unlike the loop, gradients also reach the previous bar.

Shapes: B pieces, T bars of L places; N places that are worked; H heads of size S. A name
ends in the letters of its axes where a function handles several shapes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 10_000.0
SIZES = 16


@dataclass(frozen=True, eq=False)
class Layout:
    """Where tokens stand in B pieces of T bars of L places: mask bool (B, T, L), and, when
    packed, the N places worked.

    Hidden states are (N, width): all B·T·L places when padded, the true ones and few more
    when packed.
    """

    mask: Tensor
    slots: Tensor | None

    @staticmethod
    def of(mask: Tensor, packed: bool) -> "Layout":
        """Packed sizes go in steps of a sixteenth, filled with padding: a new size each
        time costs malloc and compilers."""
        if not packed:
            return Layout(mask, None)
        step = -(-mask.numel() // SIZES)
        rounded = -(-int(mask.sum()) // step) * step
        n = min(mask.numel(), rounded)
        is_padding = (~mask.flatten()).to(torch.uint8)
        true_places_first = is_padding.argsort(stable=True)
        return Layout(mask, true_places_first[:n])

    def gather(self, padded: Tensor) -> Tensor:
        """(B, T, L, ...) to (N, ...)."""
        flat = padded.flatten(0, 2)
        return flat if self.slots is None else flat[self.slots]

    def spread(self, hidden: Tensor) -> Tensor:
        """(N, ...) to (B, T, L, ...), zeros where there is nothing."""
        shape = (*self.mask.shape, *hidden.shape[1:])
        if self.slots is None:
            return hidden.view(shape)
        empty = hidden.new_zeros(self.mask.numel(), *hidden.shape[1:])
        return empty.index_copy(0, self.slots, hidden).view(shape)

    def per_token(self, per_bar: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...): each token gets its bar's."""
        length = self.mask.shape[2]
        if self.slots is not None:
            bar = self.slots // length
            return per_bar.flatten(0, 1)[bar]
        repeated = per_bar.unsqueeze(2).expand(-1, -1, length, *per_bar.shape[2:])
        return repeated.flatten(0, 2)

    def mean(self, hidden: Tensor) -> Tensor:
        """Mean over a bar's true tokens: (N, width) to (B, T, width), eq. (19)."""
        weight = self.mask.unsqueeze(-1).to(hidden.dtype)
        return (self.spread(hidden) * weight).sum(2) / weight.sum(2)


def rotate(x: Tensor, position: Tensor) -> Tensor:
    """Rotary position: x (..., P, heads, size), position (P); angles in float32 or better
    whatever x is."""
    half = x.shape[-1] // 2
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32
    rate = ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=exact) / half)
    angle = (position.to(exact)[:, None] * rate)[:, None, :]
    cos = angle.cos().to(x.dtype)
    sin = angle.sin().to(x.dtype)
    first = x[..., :half]
    second = x[..., half:]
    turned_first = first * cos - second * sin
    turned_second = second * cos + first * sin
    return torch.cat([turned_first, turned_second], -1)


def band(mask: Tensor, causal: bool) -> Tensor:
    """Which of [previous bar; own bar] each place sees: bool (B·T, 1, L or 1, 2L)."""
    before = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], 1)
    keys = torch.cat([before, mask], 2).flatten(0, 1)[:, None, None]
    if not causal:
        return keys
    length = mask.shape[2]
    own = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return keys & torch.cat([torch.ones_like(own), own], 1)


class Memory:
    """Keys and values (B, 2L, 2, heads, size) of the previous and the own bar in every
    layer, for writing token by token."""

    def __init__(self, batch: int, length: int, layers: int, device: torch.device) -> None:
        self.length = length
        self.bar = -1
        self.place = length
        self.layers: list[Tensor | None] = [None] * layers
        self.mask = torch.zeros(batch, 2 * length, dtype=torch.bool, device=device)

    def next_bar(self) -> None:
        """The own bar becomes the previous one."""
        self.bar += 1
        self.place = 0
        for held in (self.mask, *self.layers):
            if held is not None:
                held[:, : self.length] = held[:, self.length :].clone()
        self.mask[:, self.length :] = False

    def put(self, layer: int, key_value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one token's key and value (B, 2, heads, size); those of all places so
        far, each (B, places, heads, size)."""
        held = self.layers[layer]
        now = self.length + self.place
        if held is None:
            shape = (len(key_value), 2 * self.length, *key_value.shape[1:])
            held = key_value.new_zeros(shape)
            self.layers[layer] = held
        held[:, now] = key_value
        keys, values = held[:, : now + 1].unbind(2)
        return keys, values


class Block(nn.Module):
    """One pre-norm layer: banded attention, then a feed-forward network."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.size = width // heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, layout: Layout, sees: Tensor) -> Tensor:
        """hidden (N, width); sees: what `band` gave."""
        qkv = layout.spread(self.qkv(self.norm1(hidden)))
        batch, bars, length, _ = qkv.shape
        position = torch.arange(bars * length, device=hidden.device)
        one_sequence = (batch, bars * length, 3, self.heads, self.size)
        by_bar = (batch, bars, length, self.heads, self.size)
        query, key, value = qkv.view(one_sequence).unbind(2)
        query_BTLHS = rotate(query, position).view(by_bar)
        key_BTLHS = rotate(key, position).view(by_bar)
        value_BTLHS = value.reshape(by_bar)
        attended = functional.scaled_dot_product_attention(
            query_BTLHS.flatten(0, 1).transpose(1, 2),
            _with_previous(key_BTLHS),
            _with_previous(value_BTLHS),
            attn_mask=sees,
        )
        attended = attended.transpose(1, 2).reshape(batch, bars, length, -1)
        return self._finish(hidden, layout.gather(attended))

    def step(self, hidden: Tensor, memory: Memory, layer: int) -> Tensor:
        """One token more of every piece: hidden (B, width)."""
        qkv = self.qkv(self.norm1(hidden)).view(len(hidden), 3, self.heads, self.size)
        place = memory.bar * memory.length + memory.place
        position = torch.tensor([place], device=hidden.device)
        query = rotate(qkv[:, None, 0], position)
        key = rotate(qkv[:, None, 1], position)
        keys, values = memory.put(layer, torch.cat([key, qkv[:, 2:]], 1))
        attended = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=memory.mask[:, None, None, : keys.shape[1]],
        )
        return self._finish(hidden, attended.flatten(1))

    def _finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self.out(attended))
        return hidden + self.dropout(self.feed_forward(self.norm2(hidden)))


def _with_previous(x: Tensor) -> Tensor:
    """(B, T, L, heads, size) to (B·T, heads, 2L, size): the previous bar, zeros before the
    first, then the own."""
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
    return torch.cat([before, x], 2).flatten(0, 1).transpose(1, 2)


class AttentionStack(nn.Module):
    """Layers of Block; `condition` (B, T, width) is added before every one of them."""

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        layers: int,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.blocks: Any = nn.ModuleList(
            Block(width, heads, feed_forward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, hidden: Tensor, layout: Layout, condition: Tensor | None = None
    ) -> Tensor:
        """hidden (N, width) to the same."""
        sees = band(layout.mask, self.causal)
        added = 0 if condition is None else layout.per_token(condition)
        for block in self.blocks:
            hidden = block(hidden + added, layout, sees)
        return self.norm(hidden)

    def memory(self, batch: int, length: int, device: torch.device) -> Memory:
        """An empty memory for `step`."""
        return Memory(batch, length, len(self.blocks), device)

    def step(
        self, hidden: Tensor, memory: Memory, condition: Tensor, alive: Tensor
    ) -> Tensor:
        """One token more: hidden, condition (B, width); alive (B): pieces whose bar has not
        ended."""
        memory.mask[:, memory.length + memory.place] = alive
        for layer, block in enumerate(self.blocks):
            hidden = block.step(hidden + condition, memory, layer)
        memory.place += 1
        return self.norm(hidden)
