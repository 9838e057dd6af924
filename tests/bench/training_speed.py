"""How fast training is here: the loader against a training step, and the band against
Transformer-XL's loop over bars.

    python tests/bench/training_speed.py RUN.toml RELEASE [a.b=v ...]

On a GPU the step is bfloat16 and compiled, as `moodroll-model train` runs it. Prints
tokens/s, TFLOP/s and ratios.
"""

import sys
import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor

from training.config import load
from training.engine.distributed import autocast
from training.engine.trainer import Trainer
from training.parts.attention import AttentionStack, Block, Layout, rotate

WARM, TIMED = 3, 8


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of one call, after a few to warm up."""
    times = []
    for _ in range(WARM + TIMED):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times[WARM:])[TIMED // 2]


def loop_layer(block: Block, before: Tensor, now: Tensor, sees: Tensor) -> Tensor:
    """One layer of one bar, the bar before as memory whose gradient is stopped: all
    heads and places at once."""
    batch, length, _ = now.shape
    both = torch.cat([before.detach(), now], 1)
    _, key, value = (
        block.qkv(block.norm1(both))
        .view(batch, 2 * length, 3, block.heads, block.size)
        .unbind(2)
    )
    query = block.qkv(block.norm1(now)).view(batch, length, 3, block.heads, block.size)[
        :, :, 0
    ]
    place = torch.arange(2 * length, device=now.device)
    query, key = (
        rotate(query, place[length:]).transpose(1, 2),
        rotate(key, place).transpose(1, 2),
    )
    heard = torch.nn.functional.scaled_dot_product_attention(
        query, key, value.transpose(1, 2), attn_mask=sees
    )
    return block._finish(now, heard.transpose(1, 2).flatten(2))


def loop(stack: AttentionStack, hidden: Tensor, mask: Tensor) -> Tensor:
    """The stack bar after bar: hidden (B, T, L, width)."""
    length = mask.shape[2]
    own = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    own = (
        torch.cat([torch.ones_like(own), own], 1)
        if stack.causal
        else torch.ones_like(own).repeat(1, 2)
    )
    memory = [torch.zeros_like(hidden[:, 0]) for _ in stack.blocks]
    out = []
    for bar in range(mask.shape[1]):
        now, valid = (
            hidden[:, bar],
            mask[:, bar - 1] if bar else torch.zeros_like(mask[:, 0]),
        )
        sees = torch.cat([valid, mask[:, bar]], 1)[:, None, None] & own
        for layer, block in enumerate(stack.blocks):
            before, memory[layer] = memory[layer], now
            now = loop_layer(block, before, now, sees)
        out.append(stack.norm(now))
    return torch.stack(out, 1)


def main() -> None:
    file, release, *changes = sys.argv[1:]
    config = load(file, changes)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(config, release, out)
        batch = trainer.loader.batch_at(0)
        tokens, step = int((batch.tokens != 0).sum()), 0

        def next_batch() -> None:
            nonlocal step
            step += 1
            trainer.loader.batch_at(step)

        loading, learning = seconds(next_batch), seconds(lambda: trainer.train_step(batch))
        flops = trainer.model.flops_per_step(batch.tokens.size, config.data.tokens_per_bar)
        print(
            f"loader {tokens / loading:,.0f} tokens/s, {learning / loading:,.0f} times as fast as the step"
        )
        print(
            f"step {tokens / learning:,.0f} tokens/s, {flops / learning / 1e12:.3f} TFLOP/s"
        )
        device = trainer.ranks.device
        mask = torch.from_numpy(batch.tokens != 0).to(device)
        hidden = torch.randn(
            *mask.shape, config.model.width, device=device, requires_grad=True
        )
        layout = Layout.of(mask, False)
        stack = trainer.model.decoder.stack
        with autocast(trainer.config.train.precision, trainer.ranks):
            banded = seconds(
                lambda: stack(layout.gather(hidden), layout).square().mean().backward()
            )
            looped = seconds(lambda: loop(stack, hidden, mask).square().mean().backward())
        print(
            f"one stack, forward and backward: band {banded:.4f} s, loop over bars {looped:.4f} s, ratio {looped / banded:.2f}"
        )


if __name__ == "__main__":
    main()
