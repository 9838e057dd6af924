"""Attention against Transformer-XL's loop over bars, the KL against its definition, the
adversaries' gradients."""

import itertools
import math

import pytest
import torch
from torch import nn

from training.parts.adversary import (
    feature_loss,
    held_still,
    reverse_gradient,
    unlikelihood,
)
from training.parts.attention import AttentionStack, Layout, rotate
from training.parts.backbone import Embedding, StackConfig, beat_of
from training.parts.bar_prior import BarPrior
from training.parts.latent import (
    Mixture,
    cyclical_weight,
    gaussian_kl,
    mixture_kl,
    monotone_weight,
    prior_latents,
)
from training.parts.recurrent import RecurrentStack

B, T, L, WIDTH = 2, 5, 7, 16
LENGTHS = torch.tensor([[7, 3, 1, 5, 7], [2, 7, 7, 1, 4]])
MASK = torch.arange(L) < LENGTHS[..., None]


def stack(causal, kind="attention"):
    torch.manual_seed(0)
    made = (
        AttentionStack(WIDTH, 4, 32, 3, 0.0, causal)
        if kind == "attention"
        else RecurrentStack(WIDTH, 2, 0.0, causal)
    )
    return made.double().eval()


def inputs():
    torch.manual_seed(1)
    return torch.randn(B, T, L, WIDTH, dtype=torch.float64), torch.randn(
        B, T, WIDTH, dtype=torch.float64
    )


def segment_loop(made, hidden, condition):
    """Transformer-XL as it is told: bar by bar, with the last bar's hidden states of
    each layer as memory, places -L to L-1."""
    memory = [None] * len(made.blocks)
    out = []
    for bar in range(T):
        now = hidden[:, bar]
        for layer, block in enumerate(made.blocks):
            now = now + condition[:, bar, None]
            before = torch.zeros_like(now) if memory[layer] is None else memory[layer]
            valid = torch.zeros(B, L, dtype=torch.bool) if bar == 0 else MASK[:, bar - 1]
            memory[layer] = now
            now = loop_layer(
                block, before, now, torch.cat([valid, MASK[:, bar]], 1), made.causal
            )
        out.append(made.norm(now))
    return torch.stack(out, 1)


def loop_layer(block, before, now, valid, causal):
    """One layer, one query and one head at a time."""
    _, key, value = (
        block.qkv(block.norm1(torch.cat([before, now], 1)))
        .view(B, 2 * L, 3, block.heads, block.size)
        .unbind(2)
    )
    query = block.qkv(block.norm1(now)).view(B, L, 3, block.heads, block.size)[:, :, 0]
    query, key = rotate(query, torch.arange(L)), rotate(key, torch.arange(-L, L))
    heard = torch.zeros_like(query)
    for piece, place, head in itertools.product(range(B), range(L), range(block.heads)):
        sees = valid[piece] & (torch.arange(2 * L) <= L + place) if causal else valid[piece]
        score = key[piece, sees, head] @ query[piece, place, head] / math.sqrt(block.size)
        heard[piece, place, head] = score.softmax(0) @ value[piece, sees, head]
    now = now + block.out(heard.flatten(2))
    return now + block.feed_forward(block.norm2(now))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_the_band_is_the_segment_loop(causal, packed):
    made, (hidden, condition) = stack(causal), inputs()
    layout = Layout.of(MASK, packed)
    found = layout.spread(made(layout.gather(hidden), layout, condition))
    wanted = segment_loop(made, hidden, condition)
    assert (found - wanted)[MASK].abs().max() < 1e-9
    moved = hidden.clone()
    moved[:, 1] = torch.randn_like(moved[:, 1])
    gap = (layout.spread(made(layout.gather(moved), layout, condition)) - found) * MASK[
        ..., None
    ]
    changed = gap.abs().amax((0, 2, 3)) > 1e-9
    assert changed.tolist() == [False, True, True, True, True], (
        "three layers reach three bars on, none back"
    )


def test_rotary_positions_are_relative_and_count():
    torch.manual_seed(5)
    query, key = torch.randn(2, 1, 1, 8, dtype=torch.float64)

    def score(at, other):
        return float(
            (rotate(query, torch.tensor([at])) * rotate(key, torch.tensor([other]))).sum()
        )

    assert (
        score(7, 3) == pytest.approx(score(104, 100))
        and abs(score(7, 3) - score(7, 4)) > 1e-3
    )
    assert score(5, 5) == pytest.approx(float((query * key).sum()))


@pytest.mark.parametrize("kind", ["attention", "lstm"])
def test_writing_token_by_token_is_reading_at_once(kind):
    made, (hidden, condition) = stack(True, kind), inputs()
    layout = Layout.of(MASK, False)
    wanted = layout.spread(made(layout.gather(hidden), layout, condition))
    memory = made.memory(B, L, torch.device("cpu"))
    for bar in range(T):
        memory.next_bar()
        for place in range(int(LENGTHS[:, bar].max())):
            alive = MASK[:, bar, place]
            found = made.step(hidden[:, bar, place], memory, condition[:, bar], alive)
            assert (found - wanted[:, bar, place])[alive].abs().max() < 1e-9


@pytest.mark.parametrize("causal", [True, False])
def test_the_recurrent_stack_steps_over_padding(causal):
    made, (hidden, condition) = stack(causal, "lstm"), inputs()
    noisy = torch.where(MASK[..., None], hidden, torch.randn_like(hidden))
    found = {packed: Layout.of(MASK, packed) for packed in (True, False)}
    one, two = (
        layout.spread(made(layout.gather(h), layout, condition))[MASK]
        for layout, h in zip(found.values(), (hidden, noisy), strict=True)
    )
    assert (one - two).abs().max() < 1e-9


def test_pooling_leaves_padding_out():
    hidden, _ = inputs()
    layout = Layout.of(MASK, True)
    wanted = torch.stack(
        [
            torch.stack([hidden[b, t, : LENGTHS[b, t]].mean(0) for t in range(T)])
            for b in range(B)
        ]
    )
    assert (layout.mean(layout.gather(hidden)) - wanted).abs().max() < 1e-12


def mixture(size=8):
    torch.manual_seed(2)
    return Mixture(2, size, math.exp(-2)).double()


def rows(count=6, size=8):
    torch.manual_seed(3)
    mean, log_variance = (
        torch.randn(count, size, dtype=torch.float64),
        torch.randn(count, size, dtype=torch.float64),
    )
    return mean, log_variance, torch.randn(count, 2, dtype=torch.float64).log_softmax(-1)


def test_the_kl_identity_holds():
    """Σ_y q_y KL[q ‖ p_y] = KL[q ‖ p̄] + Var/2σ², with the squares where they belong."""
    mix, (mean, log_variance, log_q) = mixture(), rows()
    none = torch.full((6,), -1)
    found = mixture_kl(mean, log_variance, log_q, mix, none, False)
    by_class = torch.stack(
        [
            gaussian_kl(mean, log_variance, mix.means[y], mix.log_variance).sum(-1)
            for y in range(2)
        ],
        -1,
    )
    wanted = (log_q.exp() * by_class).sum(-1)
    torch.testing.assert_close(
        (found.kl + found.spread).sum(-1), wanted, rtol=1e-12, atol=1e-9
    )
    reference = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(
            mix.means[0], torch.tensor(math.exp(-2), dtype=torch.float64)
        ),
    ).sum(-1)
    torch.testing.assert_close(by_class[:, 0], reference, rtol=1e-6, atol=1e-6)
    q = log_q.exp()
    torch.testing.assert_close(found.category, (q * (q * 2).log()).sum(-1).mean())


def test_mutual_information_is_the_difference_of_the_two_category_terms():
    mix, (mean, log_variance, log_q) = mixture(), rows()
    none = torch.full((6,), -1)
    plain, mutual = (
        mixture_kl(mean, log_variance, log_q, mix, none, on).category
        for on in (False, True)
    )
    q = log_q.exp()
    average = q.mean(0)
    information = (q * (log_q - average.log())).sum(-1).mean()
    torch.testing.assert_close(plain - mutual, information)


def test_a_label_makes_a_row_certain_and_leaves_it_out_of_the_category():
    mix, (mean, log_variance, log_q) = mixture(), rows()
    label = torch.tensor([0, 1, -1, -1, 1, 0])
    found = mixture_kl(mean, log_variance, log_q, mix, label, True)
    assert found.spread[[0, 1, 4, 5]].abs().max() < 1e-12 < found.spread[2].max()
    torch.testing.assert_close(
        found.kl[1], gaussian_kl(mean[1], log_variance[1], mix.means[1], mix.log_variance)
    )
    average = log_q.exp()[2:4].mean(0)
    torch.testing.assert_close(found.category, (average * (average * 2).log()).sum())
    assert (
        mixture_kl(mean, log_variance, log_q, mix, label.clamp(min=0), True).category == 0
    )


@pytest.mark.parametrize("mutual", [True, False])
def test_certain_posteriors_have_gradients(mutual):
    mix = mixture()
    z = (mix.means[:1].detach() * 50).requires_grad_()
    found = mixture_kl(
        z,
        torch.zeros_like(z),
        mix.log_odds(z).log_softmax(-1),
        mix,
        torch.tensor([-1]),
        mutual,
    )
    (found.kl.sum() + found.spread.sum() + found.category).backward()
    assert torch.isfinite(z.grad).all()


def test_log_odds_are_bayes_rule():
    mix = mixture()
    z = torch.randn(5, 8, dtype=torch.float64)
    densities = torch.stack(
        [
            torch.distributions.Normal(mix.means[y], math.exp(-2)).log_prob(z).sum(-1)
            for y in range(2)
        ],
        -1,
    )
    torch.testing.assert_close(
        mix.log_odds(z).softmax(-1), densities.softmax(-1), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        mix.distance(),
        (mix.means[1] - mix.means[0]).norm() / math.exp(-2),
        rtol=1e-5,
        atol=1e-5,
    )


def test_the_adversary_teaches_the_encoder_alone_and_against_the_feature():
    torch.manual_seed(4)
    decoder, z = nn.Linear(4, 3), torch.randn(6, 4, requires_grad=True)
    target = torch.tensor([0, 1, 2, 0, 1, -100])
    unlikelihood(held_still(decoder, z), target).backward()
    assert (
        decoder.weight.grad is None
        and z.grad[:5].abs().sum() > 0
        and z.grad[5].abs().sum() == 0
    )
    p = decoder(z).softmax(-1)[range(5), target[:5]]
    torch.testing.assert_close(unlikelihood(decoder(z), target), -(1 - p).log().mean())
    with torch.no_grad():
        after = decoder(z - z.grad).softmax(-1)[range(5), target[:5]]
    assert after.mean() < p.mean()
    plain, turned = (z.detach().clone().requires_grad_() for _ in range(2))
    feature_loss(decoder(plain), target).backward()
    feature_loss(decoder(reverse_gradient(turned)), target).backward()
    torch.testing.assert_close(turned.grad, -plain.grad)
    assert feature_loss(decoder(z), torch.full((6,), -100)) == 0


def test_each_token_is_told_its_beat_bar_by_bar():
    tokens = torch.tensor([[[2, 3, 90, 600, 850, 7, 91], [2, 18, 90, 600, 850, 0, 0]]])
    assert beat_of(tokens).tolist() == [
        [[0, 1, 1, 1, 1, 5, 5], [0, 16, 16, 16, 16, 16, 16]]
    ]
    config = StackConfig(1, 2, 16, 32, 0.0, beats=True)
    made, packed = Embedding(config), Layout.of(tokens != 0, packed=True)
    padded = Layout.of(tokens != 0, packed=False)
    whole = padded.spread(made.laid(tokens.flatten(), padded))
    some = packed.spread(made.laid(packed.gather(tokens), packed))
    torch.testing.assert_close(whole[tokens != 0], some[tokens != 0])
    torch.testing.assert_close(
        whole[0, 0, 5], made.step(torch.tensor([7]), torch.tensor([5]))[0]
    )


def test_a_fitted_prior_is_the_process_that_songs_came_from():
    torch.manual_seed(0)
    label = torch.arange(1200) % 3 - 1
    truth = BarPrior(2, 3)
    truth.means.copy_(torch.tensor([[1.0, 0.0, 2.0], [-1.0, 0.5, 2.0]]))
    truth.deviation.copy_(torch.tensor([0.5, 1.0, 2.0]))
    truth.carry.copy_(torch.tensor([0.0, 0.5, 0.9]))
    z = truth.draw(label.clamp(min=0), torch.randn(1200, 12, 3))
    found = BarPrior(2, 3)
    found.fit(z, torch.full_like(z, -60.0), label)
    for name in ("means", "deviation", "carry"):
        torch.testing.assert_close(
            getattr(found, name), getattr(truth, name), atol=0.12, rtol=0
        )
    again = BarPrior(2, 3)
    again.fit(z, torch.zeros_like(z), label)
    torch.testing.assert_close(
        again.deviation.pow(2), found.deviation.pow(2) + 1, rtol=1e-4, atol=1e-4
    )
    again.fit(z * 0, z * 0, label.clamp(max=0))
    assert again.means.abs().sum() > 0
    still = truth.draw(torch.tensor([0, 1]), torch.randn(2, 4, 3), 3.0, 0.0)
    torch.testing.assert_close(
        still[0, 0] - still[1, 3], 3 * (truth.means[0] - truth.means[1])
    )


def test_kl_weight_that_rises_once_stays():
    weights = [float(monotone_weight(torch.tensor(step), 3, 4, 0.8)) for step in range(12)]
    assert weights[:3] == [0, 0, 0] and weights[6:] == [pytest.approx(0.8)] * 6
    assert weights[3:6] == pytest.approx([0.2, 0.4, 0.6])
    assert float(monotone_weight(torch.tensor(3), 3, 0, 0.8)) == pytest.approx(0.8)


def test_latents_lie_as_far_from_the_middle_as_strength_says():
    mixtures = {"arousal": Mixture(2, 6, 0.2), "valence": Mixture(2, 6, 0.2)}
    asked = ({"arousal": 1, "valence": 0}, 3, 4, 5)
    near, far = (prior_latents(mixtures, *asked, strength) for strength in (1.0, 3.0))
    means = [mixture.means.detach() for mixture in mixtures.values()]
    away = torch.cat([means[0][1] - means[0][0], means[1][0] - means[1][1]])
    torch.testing.assert_close(far - near, away.expand(3, 4, 12))
    still = prior_latents(mixtures, *asked, 0.0, 0.0)
    torch.testing.assert_close(
        still, torch.cat([mean.mean(0) for mean in means]).expand(3, 4, 12)
    )


def test_kl_weight_cycles():
    assert [float(cyclical_weight(torch.tensor(step), 2, 4, 1.0)) for step in range(8)] == [
        0,
        0,
        0.5,
        1,
        1,
        1,
        0.5,
        1,
    ]
    assert (
        float(cyclical_weight(torch.tensor(5), 2, 0, 0.3)) == pytest.approx(0.3)
        and cyclical_weight(None, 9, 4, 0.3) == 0.3
    )
