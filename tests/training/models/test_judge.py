"""The judge's network: what padding, bars and heads must not change."""

import pytest
import torch

from schemas.remi import BAR_TOKEN, PAD, VOCABULARY_SIZE
from training.config import DataConfig
from training.models.judge import Judge, JudgeConfig, together

SMALL = JudgeConfig(embedding=12, hidden=8, attention=6, heads=3, width=10, dropout=0.0)


def windows(lengths: list[list[int]], length: int = 9) -> torch.Tensor:
    """Tokens (B, T, length) with so many true ones in each bar, PAD after them."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(
        BAR_TOKEN,
        VOCABULARY_SIZE - 1,
        (len(lengths), len(lengths[0]), length),
        generator=generator,
    )
    return tokens.masked_fill(torch.arange(length) >= torch.tensor(lengths)[..., None], PAD)


@pytest.fixture
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(SMALL, DataConfig(bars=3)).eval()


def test_weights_sum_to_one_over_the_true_places_of_each_head(judge: Judge) -> None:
    tokens = together(windows([[4, 9, 2], [1, 1, 3]]))
    weights, _ = judge.attention(tokens)
    assert torch.allclose(weights.sum(1), torch.ones(2, 3), atol=1e-6)
    assert (weights[tokens == PAD] == 0).all() and (weights[tokens != PAD] > 0).all()


def test_padding_changes_nothing(judge: Judge) -> None:
    tokens = windows([[4, 9, 2], [1, 1, 3]])
    padded = torch.nn.functional.pad(tokens, (0, 7))
    longer = torch.cat([windows([[9, 9, 9]]), torch.nn.functional.pad(tokens, (0, 0))])
    for name, alone in judge.logits(tokens)[0].items():
        assert torch.allclose(alone, judge.logits(padded)[0][name], atol=1e-6)
        assert torch.allclose(alone, judge.logits(longer)[0][name][1:], atol=1e-6)


def test_what_is_heard_is_the_order_of_tokens_and_not_where_bars_are_cut(
    judge: Judge,
) -> None:
    one, other = windows([[6, 3, 2]]), torch.zeros(1, 3, 9, dtype=torch.long)
    flat = one[one != PAD]
    other[0, 0, :2], other[0, 1, :9] = flat[:2], flat[2:]
    assert torch.equal(judge.logits(one)[0]["valence"], judge.logits(other)[0]["valence"])
    turned = one.clone()
    turned[0, 0, :6] = one[0, 0, :6].flip(0)
    assert not torch.allclose(
        judge.logits(one)[0]["valence"], judge.logits(turned)[0]["valence"], atol=1e-4
    )


def test_songs_without_a_label_teach_nothing(judge: Judge) -> None:
    tokens = windows([[4, 9, 2], [1, 1, 3]])
    whole = judge({"tokens": tokens, "label": torch.tensor([[1, -1], [-1, -1]])})
    alone = judge({"tokens": tokens[:1], "label": torch.tensor([[1, -1]])})
    assert whole["arousal"].item() == pytest.approx(alone["arousal"].item(), abs=1e-6)
    assert whole["valence"] == 0 and whole["quadrant"] == 0


def test_it_learns_one_batch_by_heart(judge: Judge) -> None:
    batch = {
        "tokens": windows([[4, 9, 2], [1, 1, 3], [5, 5, 5], [9, 2, 2]]),
        "label": torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]),
    }
    optimiser = torch.optim.Adam(judge.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        judge(batch)["loss"].backward()
        optimiser.step()
    logits, _ = judge.logits(batch["tokens"])
    assert logits["quadrant"].argmax(-1).tolist() == [0, 1, 2, 3]
    assert logits["arousal"].argmax(-1).tolist() == [0, 0, 1, 1]


def test_heads_that_look_alike_cost_more_than_heads_that_look_apart(judge: Judge) -> None:
    with torch.no_grad():
        judge.attend[2].weight[:] = judge.attend[2].weight[:1].clone() * 40
    alike = judge({"tokens": windows([[4, 9, 2]]), "label": torch.tensor([[1, 1]])})[
        "diversity"
    ]
    with torch.no_grad():
        judge.attend[2].weight[1] *= -1
    apart = judge({"tokens": windows([[4, 9, 2]]), "label": torch.tensor([[1, 1]])})[
        "diversity"
    ]
    assert alike > apart
