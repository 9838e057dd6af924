"""Adversaries for eq. (16): what keeps a feature out of the latent it does not belong to.
The encoder alone is taught.

`paper`: the feature's own decoder, held still, reads the wrong latent, and −log(1 −
p(correct)) is made small; an encoder can also obey by making that decoder confidently
wrong. `reversal`: a second decoder is trained on the wrong latent and its gradient is
turned round (Ganin & Lempitsky 2015), which such a trick does not deceive.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


def reverse_gradient(x: Tensor) -> Tensor:
    """x forward, its gradient with the sign turned backward."""
    return _Reverse.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it without types


def held_still(decoder: nn.Module, z: Tensor) -> Tensor:
    """decoder(z) with gradients to z and none to the decoder."""
    frozen = {name: parameter.detach() for name, parameter in decoder.named_parameters()}
    return torch.func.functional_call(decoder, frozen, (z,))


def unlikelihood(logits: Tensor, target: Tensor, ignore: int = -100) -> Tensor:
    """Mean of −log(1 − p(target)) over all targets that are not `ignore`: logits (...,
    classes), target (...)."""
    kept = target != ignore
    probability = (
        logits.float().softmax(-1).gather(-1, target.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    )
    losses = -torch.log1p(-probability.clamp(max=1 - 1e-6))
    return (losses * kept).sum() / kept.sum().clamp(min=1)


def feature_loss(logits: Tensor, target: Tensor, ignore: int = -100) -> Tensor:
    """Mean cross-entropy over targets that are not `ignore`, 0 where all are: logits (...,
    classes), target (...)."""
    losses = functional.cross_entropy(
        logits.flatten(0, -2).float(),
        target.flatten(),
        ignore_index=ignore,
        reduction="sum",
    )
    return losses / (target != ignore).sum().clamp(min=1)
