"""The judge: EMOPIA's classifier of symbolic music (Hung et al., ISMIR 2021) with the
padding mask that it lacks.

Embedding, one BiLSTM, structured self-attention of several heads (Lin et al., ICLR 2017),
and a head each for arousal, valence and the four quadrants. It reads windows of eight bars;
a song's class is the mean over its windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from schemas.remi import PAD, VOCABULARY_SIZE
from training.config import AXES, UNLABELLED, DataConfig
from training.parts.adversary import feature_loss

CLASSES = {"arousal": 2, "valence": 2, "quadrant": 4}


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes are EMOPIA's; dropout and diversity (weight of ‖AAᵀ − I‖², which keeps the
    heads apart) it leaves out."""

    embedding: int = 300
    hidden: int = 128
    attention: int = 128
    heads: int = 14
    width: int = 256
    dropout: float = 0.2
    diversity: float = 0.0


class Judge(nn.Module):
    """Tokens of a window to the classes of its song."""

    def __init__(self, config: JudgeConfig, data: DataConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(VOCABULARY_SIZE, config.embedding)
        self.lstm = nn.LSTM(
            config.embedding, config.hidden, batch_first=True, bidirectional=True
        )
        self.attend = nn.Sequential(
            nn.Linear(2 * config.hidden, config.attention, bias=False),
            nn.Tanh(),
            nn.Linear(config.attention, config.heads, bias=False),
        )
        self.body = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.hidden * config.heads, config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.width, size) for name, size in CLASSES.items()}
        )

    def attention(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (B, N, heads), nought at PAD, and hidden states (B, N, 2·hidden) of
        tokens (B, N), padding last."""
        real = tokens != PAD
        packed = pack_padded_sequence(
            self.embedding(tokens),
            real.sum(1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        hidden, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        scores = self.attend(hidden).masked_fill(~real.unsqueeze(-1), float("-inf"))
        # Over the places of a window, each head by itself: over heads, every place would
        # weigh the same.
        return scores.softmax(1), hidden

    def logits(self, tokens: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits (B, classes) of arousal, valence and quadrant from tokens (B, T, L); the
        attention's weights (B, N, heads)."""
        weights, hidden = self.attention(together(tokens))
        body = self.body(torch.einsum("bnr,bnh->brh", weights, hidden).flatten(1))
        return {name: head(body) for name, head in self.heads.items()}, weights

    def forward(
        self, batch: Mapping[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """`loss` and its terms: the cross-entropy of each head over songs that have its
        label (B, 2; −1 none)."""
        logits, weights = self.logits(batch["tokens"].long())
        label = batch["label"]
        wanted = {axis: label[:, index] for index, axis in enumerate(AXES)}
        wanted["quadrant"] = torch.where(
            (label != UNLABELLED).all(1), 2 * label[:, 0] + label[:, 1], UNLABELLED
        )
        terms = {
            name: feature_loss(logits[name], wanted[name], UNLABELLED) for name in CLASSES
        }
        identity = torch.eye(weights.shape[-1], device=weights.device)
        terms["diversity"] = (
            (weights.transpose(1, 2) @ weights - identity).pow(2).sum((1, 2)).mean()
        )
        terms["loss"] = (
            torch.stack([terms[name] for name in CLASSES]).sum()
            + self.config.diversity * terms["diversity"]
        )
        return terms

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step over `places` token places."""
        each = sum(
            parameter.numel()
            for part in (self.lstm, self.attend)
            for parameter in part.parameters()
        )
        return 3.0 * places * 2 * each


def together(tokens: Tensor) -> Tensor:
    """(B, T, L) to (B, N): a window's true tokens side by side, its padding after them."""
    flat = tokens.flatten(1)
    order = (flat == PAD).to(torch.uint8).argsort(dim=1, stable=True)
    longest = int((flat != PAD).sum(1).max())
    return flat.gather(1, order)[:, :longest]
