"""Every model of the registry learns, is saved and writes; the new ones against slow
oracles, and the published bugs."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from schemas.song import NOTE
from training.config import from_tables
from training.data.cache import open_split, prepare
from training.data.loader import Loader
from training.data.release import open_release
from training.errors import RunFailed
from training.models.fadernets import order_loss
from training.models.ssvae import possible_classes
from training.parts.attributes import bar_attributes
from training.parts.backbone import sample_latent
from training.parts.bar_vae import VaeConfig, beside, row_tokens
from training.parts.latent import free_below, gaussian_kl, standard_kl
from training.parts.sampling import SamplingConfig
from training.protocols import Autoencoder, Classifier, Clustered, Generator
from training.registry import MODELS

# Whatever of these a model has: as small as will learn a batch by heart.
SMALL = {
    "layers": 1, "heads": 2, "width": 48, "feed_forward": 96, "latent": 8, "slot": 4, "draws": 5, "dropout": 0.0, "hidden": 0.0,
    "kl_weight": 0.01, "kl_warmup": 0, "kl_cycle": 0, "rhythm_bounds": [0.1, 0.2, 0.3], "polyphony_bounds": [0.5, 1.0, 2.0],
}  # fmt: skip
OURS = ("cvae", "ssvae", "ccvae", "fadernets", "musemorphose", "gan_cvae")
DATA = {"bars": 2, "tokens_per_bar": 64, "tracks": ["Piano"], "layout": "packed"}
LEVELS = {"arousal": 1, "valence": 0}


def make(kind, data=DATA, **changes):
    fields = {field.name for field in dataclasses.fields(MODELS[kind]().config)}
    settings = {name: value for name, value in SMALL.items() if name in fields}
    config = from_tables(
        {"name": "small", "kind": kind, "model": {**settings, **changes}, "data": data}
    )
    torch.manual_seed(0)
    return MODELS[kind]().make(config.model, config.data)


@pytest.fixture(scope="module")
def batch(release, tmp_path_factory):
    """Four crops of the made-up release, three of them labelled."""
    config = from_tables({"name": "small", "kind": "cvae", "data": DATA}).data
    folder = prepare(open_release(release), config, str(tmp_path_factory.mktemp("cache")))
    read = Loader(open_split(folder, "train"), config, 4, 0).batch_at(0)
    names = ("tokens", "target", "rhythm", "key", "label")
    made = {name: torch.from_numpy(np.array(getattr(read, name))) for name in names}
    made["label"] = torch.tensor([[0, 1], [1, 0], [1, -1], [-1, -1]])
    return made


def terms_of(model, batch, step=None):
    torch.manual_seed(2)
    return model(batch, step)


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "judge"])
def test_every_model_learns_a_batch_by_heart_is_saved_and_writes(kind, batch, tmp_path):
    model = make(kind)
    batch = (
        {**batch, "label": torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]])}
        if kind in ("cvae", "emopia")
        else batch
    )
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    found = []
    for step in range(150):
        terms = model(batch, torch.tensor(step))
        optimiser.zero_grad()
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        assert torch.isfinite(
            torch.stack([value.detach().float() for value in terms.values()])
        ).all()
        found.append(terms.get("reconstruction", terms["loss"]).item())
    assert np.mean(found[-5:]) < 0.3 * found[0]
    assert terms.get("token_accuracy", torch.tensor(1.0)) > 0.8
    assert model.flops_per_step(100, 64) > 0

    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = make(kind)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(torch.load(tmp_path / "model.pt"))
    model.eval(), other.eval()
    with torch.no_grad():
        assert terms_of(model, batch)["loss"] == terms_of(other, batch)["loss"]
    if isinstance(model, Generator):
        check_written(model)


@torch.no_grad()
def check_written(model):
    for classes in (
        LEVELS,
        {"arousal": 0, "valence": None},
        {"arousal": None, "valence": None},
    ):
        songs = model.generate(classes, 2, 3, SamplingConfig(seed=1))
        assert len(songs) == 2
        for song in songs:
            assert song.notes.dtype == NOTE and (song.notes["duration"] > 0).all()
            assert ((song.notes["pitch"] >= 21) & (song.notes["pitch"] <= 108)).all()
            assert (song.notes["velocity"] > 0).all() and (song.notes["start"] >= 0).all()
            assert len(song.bars) >= 3 and (song.notes["start"] < 3 * 96).all()
    again = model.generate(LEVELS, 2, 3, SamplingConfig(seed=1))
    same = model.generate(LEVELS, 2, 3, SamplingConfig(seed=1))
    assert all(
        np.array_equal(one.notes, other.notes)
        for one, other in zip(again, same, strict=True)
    )


def test_what_each_can():
    able = {
        kind: {
            ability
            for ability in (Autoencoder, Classifier, Clustered)
            if isinstance(make(kind), ability)
        }
        for kind in OURS
    }
    assert able == {
        "cvae": set(), "ssvae": {Autoencoder, Classifier}, "ccvae": {Autoencoder, Classifier},
        "fadernets": {Autoencoder, Classifier, Clustered}, "musemorphose": {Autoencoder}, "gan_cvae": {Autoencoder},
    }  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in OURS if kind != "cvae"])
def test_codes_are_what_training_decodes(kind, batch):
    """encode and decode, as the commands use them, give the likelihood that forward
    gives (z at its mean, classes as heard)."""
    model = make(kind).eval()
    tokens, target = batch["tokens"].long(), batch["target"].long()
    with torch.no_grad():
        code = torch.cat([mean for mean, _ in model.encode(tokens).values()], -1)
        for name, parameter in model.named_parameters():
            if name.endswith("gaussian.bias"):
                parameter[len(parameter) // 2 :] = -60.0
            if name.endswith("gaussian.weight"):
                parameter[len(parameter) // 2 :] = 0.0
        logits = model.decode(tokens, code)
        wanted = functional.cross_entropy(
            logits.flatten(0, 2), target.flatten(), ignore_index=0
        )
        if isinstance(model, Classifier):
            heard = torch.stack([odds.mean(1) for odds in model.odds(tokens).values()], -1)
            batch = {**batch, "label": (heard > 0).long()}
        found = terms_of(model, batch)["reconstruction"]
    if kind == "ccvae":
        assert model.odds(tokens)["arousal"].shape == tokens.shape[:2]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_m2_is_the_sum_over_classes(batch):
    """The batched marginal against Σ_y q(y|x) L(x, y) − H written as loops over rows and
    classes."""
    model = make("ssvae", kl_weight=1.0).eval()
    tokens, target = batch["tokens"].long(), batch["target"].long()
    with torch.no_grad():
        model.encoder.gaussian.weight[len(model.encoder.gaussian.weight) // 2 :] = 0
        model.encoder.gaussian.bias[len(model.encoder.gaussian.bias) // 2 :] = -40.0
        q = model.song_odds(tokens).sigmoid()
        bounds, nlls, divergences, labels = [], [], [], []
        for row, own in enumerate(batch["label"].tolist()):
            nll, kl, entropy = 0.0, 0.0, 0.0
            for arousal, valence in itertools.product((0, 1), (0, 1)):
                chance = 1.0
                for axis, (level, label) in enumerate(
                    zip((arousal, valence), own, strict=True)
                ):
                    high = float(q[row, axis])
                    chance *= (
                        float(level == label)
                        if label >= 0
                        else (high if level else 1 - high)
                    )
                mean, log_variance = model.posterior(
                    tokens[row : row + 1], torch.tensor([[arousal, valence]])
                )
                code = beside(
                    mean,
                    model.label_code(torch.tensor([[arousal, valence]]), tokens.shape[1]),
                )
                logits = model.decode(tokens[row : row + 1], code)
                each = functional.cross_entropy(
                    logits.flatten(0, 2),
                    target[row].flatten(),
                    ignore_index=0,
                    reduction="sum",
                )
                normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
                nll += chance * float(each)
                kl += chance * float(
                    torch.distributions.kl_divergence(
                        normal, torch.distributions.Normal(0.0, 1.0)
                    ).sum()
                )
            for axis, label in enumerate(own):
                high = float(q[row, axis])
                if label >= 0:
                    labels.append(-math.log(high if label else 1 - high))
                else:
                    entropy += sum(p * math.log(p) for p in (high, 1 - high)) + math.log(2)
            nlls.append(nll), divergences.append(kl), bounds.append(entropy)
        found = terms_of(model, batch)
    nats = sum(nlls) + sum(divergences) + sum(bounds) + len(target) * np.mean(labels)
    wanted = nats / int((target > 0).sum())
    assert found["loss"].item() == pytest.approx(wanted, rel=1e-4)


def test_a_label_leaves_one_class_open_and_none_leaves_four():
    q = torch.tensor([0.3, 0.6])
    q = torch.stack([1 - q, q], -1).expand(3, 2, 2)
    row, said, weight = possible_classes(q, torch.tensor([[0, 1], [-1, 0], [-1, -1]]))
    assert row.tolist() == [0, 1, 1, 2, 2, 2, 2] and said[:3].tolist() == [
        [0, 1],
        [0, 0],
        [1, 0],
    ]
    torch.testing.assert_close(
        weight, torch.tensor([1.0, 0.7, 0.3, 0.28, 0.42, 0.12, 0.18])
    )


def test_ccvae_kl_and_q_of_y_against_monte_carlo(batch):
    model = make("ccvae", draws=4000).double().eval()
    torch.manual_seed(3)
    mean, log_variance = (
        torch.randn(3, 2, 8, dtype=torch.float64),
        torch.randn(3, 2, 8, dtype=torch.float64),
    )
    slot, size = model.slots["arousal"], model.config.slot
    with torch.no_grad():
        slot.spread.normal_()
        slot.classes.weight.normal_()
        normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
        z = normal.rsample()
        label = torch.tensor([1, 0, -1])
        kl, within, outside, log_weight, odds = model.axis_terms(
            "arousal", (mean, log_variance), z, label
        )
        many = normal.sample((40_000,))
        means, spreads = slot.prior()
        q_z = odds.sigmoid()
        for row, own in enumerate(label.tolist()):
            wanted = torch.zeros(2, 8, dtype=torch.float64)
            for level in (0, 1):
                prior = torch.distributions.Normal(
                    torch.cat([means[level], torch.zeros(8 - size)]),
                    torch.cat([(spreads[level] / 2).exp(), torch.ones(8 - size)]),
                )
                share = (
                    float(level == own)
                    if own >= 0
                    else float(q_z[row] if level else 1 - q_z[row])
                )
                wanted += (
                    share * (normal.log_prob(many) - prior.log_prob(many)).mean(0)[row]
                )
            assert (kl[row] - wanted).abs().max() < 0.03 * wanted.abs().max()
        high = slot.odds(many[..., :size]).mean(-1).sigmoid().mean(0)
        log_q_x = torch.stack([high[0].log(), (1 - high[1]).log()])
        torch.testing.assert_close(math.log(2) - outside[:2], log_q_x, rtol=0.05, atol=0.03)
        torch.testing.assert_close(log_weight[:2], within[:2] - (math.log(2) - outside[:2]))
        torch.testing.assert_close(
            within[:2], torch.stack([q_z[0].log(), (1 - q_z[1]).log()])
        )
        p = q_z[2]
        torch.testing.assert_close(
            within[2], p * (2 * p).log() + (1 - p) * (2 * (1 - p)).log()
        )
        assert outside[2] == 0 and log_weight[2] == 0


def test_ccvae_weight_teaches_the_classifier_and_not_the_encoder(batch):
    model = make("ccvae").eval()
    mean, log_variance = (torch.zeros(1, 2, 8, requires_grad=True) for _ in range(2))
    z = torch.randn(1, 2, 8, requires_grad=True)
    log_weight = model.axis_terms("arousal", (mean, log_variance), z, torch.tensor([1]))[3]
    gradients = torch.autograd.grad(
        log_weight.sum(), [z, model.slots["arousal"].classes.weight], allow_unused=True
    )
    assert gradients[0] is None and gradients[1].abs().sum() > 0


def test_rows_without_a_label_teach_cvae_nothing(batch):
    model = make("cvae").eval()
    with torch.no_grad():
        for part in (model.encoder.gaussian.weight, model.encoder.gaussian.bias):
            part[len(part) // 2 :] = 0
        model.encoder.gaussian.bias[len(model.encoder.gaussian.bias) // 2 :] = -40.0
        found, only = (
            model(batch, None),
            model({name: value[:3] for name, value in batch.items()}, None),
        )
    assert found["labelled_rows"] == 3
    for name in ("loss", "reconstruction", "kl"):
        torch.testing.assert_close(found[name], only[name], rtol=1e-5, atol=1e-6)
    none = {**batch, "label": torch.full((4, 2), -1)}
    assert model(none, None)["loss"] == 0


def test_order_loss_is_the_mean_over_pairs():
    torch.manual_seed(4)
    z, value, kept = (
        torch.randn(2, 3),
        torch.tensor([[1, 5, 5], [0, 2, 9]]),
        torch.tensor([[1, 1, 0], [1, 1, 1]]).bool(),
    )
    of = [
        (a, b)
        for a, b, keep in zip(
            z.flatten().tolist(),
            value.flatten().tolist(),
            kept.flatten().tolist(),
            strict=True,
        )
        if keep
    ]
    wanted = [
        (math.tanh(a[0] - b[0]) - np.sign(a[1] - b[1])) ** 2
        for a, b in itertools.product(of, of)
    ]
    assert float(order_loss(z, value, kept)) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_attributes_are_counted_from_the_tokens():
    bar = [2, 3, 19, 83, 523, 843 + 3, 84, 524, 843 + 15, 11, 90, 530, 843, 0, 0]
    empty = [2] + [0] * 14
    assert bar_attributes(torch.tensor([[bar, empty]])).tolist() == [
        [[2 / 16, 21 / 16], [0.0, 0.0]]
    ]


def test_high_arousal_is_denser_and_valence_alone_is_refused():
    for kind in ("musemorphose", "gan_cvae"):
        model = make(kind)
        middles = model.middles()
        assert torch.equal(
            model.ordinal(middles.T[:, None]).sum(-1)[:, 0],
            torch.arange(4.0)[:, None].expand(-1, 2),
        )
        told = []
        model.write = lambda z, sampling, told=told: told.append(z) or []
        for level in (0, 1):
            model.generate({"arousal": level, "valence": 0}, 6, 2, SamplingConfig())
        sparse, dense = (code.unflatten(-1, (2, -1))[..., 8:] for code in told)
        weight = torch.arange(sparse.shape[-1]) if kind == "musemorphose" else torch.ones(1)
        assert (sparse * weight).sum(-1).max() < (dense * weight).sum(-1).min()
        with pytest.raises(RunFailed, match="no handle on valence"):
            model.generate({"arousal": None, "valence": 1}, 1, 2, SamplingConfig())


def test_the_discriminator_and_the_encoder_pull_apart(batch):
    model = make("gan_cvae", kl_weight=0.0)
    terms = terms_of(model, batch)

    def taught(loss):
        model.zero_grad()
        loss.backward(retain_graph=True)
        return {
            name.split(".")[0]
            for name, p in model.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }

    assert taught(terms["discriminator"]) == {"discriminator"}
    assert taught(terms["adversary"]) == {"encoder"}
    with torch.no_grad():
        model.discriminator[2].weight.zero_()
        model.discriminator[2].bias.fill_(5.0)
        terms = terms_of(model, batch)
    share = model.ordinal(bar_attributes(batch["tokens"].long())).mean()
    low, high = (functional.softplus(torch.tensor(value)) for value in (-5.0, 5.0))
    torch.testing.assert_close(terms["discriminator"], share * low + (1 - share) * high)
    torch.testing.assert_close(
        terms["adversary"], (1 - share) * low + share * high, msg="flipped labels"
    )


# The bugs of public code that models.md names.


def test_softmax_is_over_classes_and_not_over_time():
    """FaderNets' public sub-decoders normalise over dim 1; here each sixteenth of each
    bar by itself gives the loss."""
    model = make("fadernets").eval()
    z = torch.randn(2, 3, 8)
    features = {
        "rhythm": torch.randint(0, model.counts, (2, 3, 16)),
        "key": torch.full((2, 3), 24),
    }
    found, by_hand = {}, []
    model._features(features, dict.fromkeys(LEVELS, z), found)
    for row, bar, place in itertools.product(range(2), range(3), range(16)):
        logits = model.local["arousal"](z[row, bar])[
            place * model.counts : (place + 1) * model.counts
        ]
        by_hand.append(logits.logsumexp(0) - logits[features["rhythm"][row, bar, place]])
    torch.testing.assert_close(found["rhythm"], torch.stack(by_hand).mean())
    assert found["key"] == 0


def test_the_spread_of_z_is_a_deviation_and_not_a_variance():
    """z is drawn, its KL reckoned and each prior written with one σ = 3, checked against
    torch's own distributions."""
    mean, log_variance = torch.tensor(0.5), torch.tensor(math.log(9.0))
    drawn = sample_latent(mean.expand(20_000), log_variance.expand(20_000))
    assert float(drawn.var()) == pytest.approx(9.0, rel=0.05)
    normal, unit = (
        torch.distributions.Normal(0.5, 3.0),
        torch.distributions.Normal(0.0, 1.0),
    )
    torch.testing.assert_close(
        standard_kl(mean, log_variance), torch.distributions.kl_divergence(normal, unit)
    )
    faders, slots = make("fadernets", sigma=3.0), make("ccvae")
    assert faders.mixtures["arousal"].log_variance.item() == pytest.approx(math.log(9.0))
    with torch.no_grad():
        slots.slots["arousal"].spread.fill_(math.log(math.exp(3.0) - 1))
        torch.testing.assert_close(
            slots.slots["arousal"].prior()[1], log_variance.expand(2, 4)
        )
        for model in (faders, slots):
            z = []
            model.write = lambda code, sampling, z=z: z.append(code) or []
            model.generate(LEVELS, 500, 4, SamplingConfig())
            assert float(z[0][..., :4].var((0, 1)).mean()) == pytest.approx(9.0, rel=0.1)


@pytest.mark.parametrize("kind", OURS)
def test_beta_is_never_negative(kind, batch):
    model = make(kind, kl_weight=0.5, kl_warmup=10, kl_cycle=7)
    weights = [float(model.config.kl_weight_at(torch.tensor(step))) for step in range(60)]
    assert min(weights) == 0 and max(weights) == 0.5 and weights[:10] == [0.0] * 10
    assert terms_of(model, batch, torch.tensor(3))["kl_weight"] == 0
    with pytest.raises(ValueError, match="must be 0 or more"):
        VaeConfig(kl_weight=-0.1)


@pytest.mark.parametrize("kind", OURS)
def test_padding_is_not_attended_to(kind, batch):
    """Neither what PAD's embedding says, nor whether its places are worked at all,
    changes loss or odds."""
    found = []
    for layout, added in (("packed", 0.0), ("padded", 0.0), ("padded", 50.0)):
        model = make(kind, {**DATA, "layout": layout}).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("embedding.weight"):
                    parameter[0] += added
            terms = terms_of(model, batch)
            odds = (
                model.odds(batch["tokens"].long()) if isinstance(model, Classifier) else {}
            )
        found.append((terms["loss"], terms["reconstruction"], *odds.values()))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", OURS)
def test_nets_that_must_be_separate_share_no_weights(kind):
    model = make(kind)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len({p.data_ptr() for p in model.parameters()}) == len(names)
    wanted = {"cvae": 2, "musemorphose": 2, "gan_cvae": 2}.get(kind, 3)
    assert sum(name.endswith("stack") for name, _ in model.named_modules()) == wanted


def test_rows_are_scored_apart(batch):
    model = make("musemorphose")
    flat, wanted, layout = model.read(batch)
    logits = torch.randn(len(flat), 923)
    scored = row_tokens(logits, wanted, layout)
    each = functional.cross_entropy(logits, wanted, ignore_index=0)
    torch.testing.assert_close(scored.terms()["reconstruction"], each)
    assert scored.n.tolist() == (batch["target"] > 0).sum((1, 2)).tolist()


def test_free_bits_are_of_a_dimension_and_rows_are_weighed():
    kl = torch.tensor([[[0.1, 1.0]], [[0.3, 3.0]]])
    assert float(free_below(kl, 0.25)) == pytest.approx(0.25 + 2.0)
    assert float(free_below(kl, 0.0, torch.tensor([0.0, 1.0]))) == pytest.approx(0.3 + 3.0)
    zero = torch.zeros(())
    assert (
        float(standard_kl(zero + 1.0, zero))
        == float(gaussian_kl(zero + 1.0, zero, zero, zero))
        == 0.5
    )
