"""How the model's parts are wired: which loss teaches what, and what each switch takes
away."""

import pytest
import torch

from training.config import AXES, from_tables
from training.models.semg_gmvae import SemgGmvae
from training.parts.adversary import feature_loss, unlikelihood
from training.parts.gaussian_mixture_vae import first_tempo
from training.parts.latent import gaussian_kl, mixture_kl
from training.parts.sampling import SamplingConfig


def make(tables, **changes):
    config = from_tables(
        {**tables, "model": {**tables["model"], "dropout": 0.0, **changes}}
    )
    torch.manual_seed(0)
    return SemgGmvae(config.model, config.data)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    tokens = torch.randint(3, 923, (4, 3, 48))
    tokens[:, :, 0], tokens[:, :, 30:] = 2, 0
    return {
        "tokens": tokens, "target": tokens.roll(-1, 2), "rhythm": torch.randint(0, 16, (4, 3, 16)),
        "key": torch.randint(0, 25, (4, 3)), "label": torch.tensor([[0, 1], [1, 0], [-1, -1], [1, -1]]),
    }  # fmt: skip


def terms_of(model, batch, step=None):
    torch.manual_seed(2)
    return model(batch, step)


def drawn(model, batch):
    """The z that forward drew."""
    torch.manual_seed(2)
    with torch.no_grad():
        return {
            axis: mean + torch.randn_like(mean) * (0.5 * log).exp()
            for axis, (mean, log) in model.encode(batch["tokens"]).items()
        }


def taught(model, loss):
    """Names of the modules that a loss's gradient reaches."""
    model.zero_grad()
    loss.backward(retain_graph=True)
    names = {
        name
        for name, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    return {".".join(name.split(".")[:2]) for name in names}


@pytest.mark.parametrize(
    ("name", "own", "wrong"),
    [("rhythm", "arousal", "valence"), ("key", "valence", "arousal")],
)
def test_each_feature_teaches_its_latent_and_the_adversary_the_other_alone(
    tables, batch, name, own, wrong
):
    model = make(tables)
    terms = terms_of(model, batch)
    assert taught(model, terms[name]) == {f"encoders.{own}", f"local.{own}"}
    assert taught(model, terms[f"{name}_adversary"]) == {f"encoders.{wrong}"}
    z = drawn(model, batch)
    wanted = (
        batch["rhythm"]
        if name == "rhythm"
        else torch.where(batch["key"] < 24, batch["key"], -100)
    )
    logits = {axis: model._shaped(own, model.local[own](z[axis])) for axis in (own, wrong)}
    torch.testing.assert_close(
        terms[name], feature_loss(logits[own], wanted), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        terms[f"{name}_adversary"],
        unlikelihood(logits[wrong], wanted),
        rtol=1e-4,
        atol=1e-5,
    )


def test_reversal_teaches_its_probe_to_find_and_the_encoder_to_hide(tables, batch):
    model = make(tables, adversary="reversal")
    terms = terms_of(model, batch)
    assert taught(model, terms["rhythm_adversary"]) == {
        "encoders.valence",
        "probes.arousal",
    }
    before = terms["rhythm_adversary"].item()
    for part, rises in (("probes.", False), ("encoders.", True)):
        other = make(tables, adversary="reversal")
        with torch.no_grad():
            for (name, parameter), (_, gradient) in zip(
                other.named_parameters(), model.named_parameters(), strict=True
            ):
                if name.startswith(part) and gradient.grad is not None:
                    parameter -= 0.02 * gradient.grad / gradient.grad.norm().clamp(min=1e-9)
        assert (terms_of(other, batch)["rhythm_adversary"].item() > before) is rises


def test_switches(tables, batch):
    full = terms_of(make(tables), batch)
    vanilla = terms_of(make(tables, vanilla=True), batch)
    assert "rhythm" in full and "rhythm" not in vanilla and "key_adversary" not in vanilla
    more = (
        terms_of(make(tables, alpha=1.0), batch)["loss"]
        - terms_of(make(tables, alpha=0.0), batch)["loss"]
    )
    spread = full["arousal_spread"] + full["valence_spread"]
    torch.testing.assert_close(more, spread * a_token(batch), rtol=1e-3, atol=1e-4)
    mutual = terms_of(make(tables, mutual_information=False), batch)
    assert mutual["arousal_category"] > full["arousal_category"]
    supervised = terms_of(make(tables, label_weight=1.0), batch)
    assert supervised["loss"] > full["loss"]


def a_token(batch):
    """What a nat a bar weighs in a loss of nats a token."""
    return batch["key"].numel() / int((batch["target"] > 0).sum())


def test_every_term_is_in_nats_a_token(tables, batch):
    """The loss against all nats of the batch, added up bar by bar, over its tokens."""
    config = {"kl_weight": 0.7, "alpha": 1.0, "rhythm_weight": 2.0, "key_weight": 3.0}
    model = make(tables, **config, mutual_information=False, tempo="both", label_weight=0.5)
    terms = terms_of(model, batch)
    bars, keyed = batch["key"].numel(), int((batch["key"] < 24).sum())
    tempi = int((first_tempo(batch["tokens"]) != -100).sum())
    features = 2 * 16 * bars * (terms["rhythm"] + terms["rhythm_adversary"])
    features += 3 * keyed * (terms["key"] + terms["key_adversary"])
    features += tempi * (terms["arousal_tempo"] + terms["valence_tempo"])
    divergence = sum(terms[f"{axis}_kl"] + terms[f"{axis}_category"] for axis in AXES)
    z = drawn(model, batch)
    labelled = 0.0
    for index, axis in enumerate(AXES):
        log_q = model.mixtures[axis].log_odds(z[axis]).log_softmax(-1)
        own = [
            -log_q[row, :, level].mean()
            for row, level in enumerate(batch["label"][:, index].tolist())
            if level >= 0
        ]
        labelled = labelled + 0.5 * bars * sum(own) / len(own)
    wanted = terms["reconstruction"] + (
        features + labelled + 0.7 * bars * divergence
    ) / int((batch["target"] > 0).sum())
    torch.testing.assert_close(terms["loss"], wanted, rtol=1e-3, atol=1e-3)


def test_components_that_follow_leave_their_pull_to_beta_and_themselves_to_the_data(
    tables, batch
):
    """Of the same loss value at β 1; at β 0 only components are taught by it, and free bits
    do not stop them."""
    joint, follow = (make(tables, components=kind) for kind in ("joint", "follow"))
    off = make(tables, components="follow", kl_weight=0.0, free_bits=50.0)
    more = terms_of(follow, batch)["loss"] - terms_of(joint, batch)["loss"]
    terms = terms_of(joint, batch)
    own = sum(terms[f"{axis}_kl"] for axis in AXES)
    torch.testing.assert_close(more, own * a_token(batch), rtol=1e-3, atol=1e-3)
    off.zero_grad()
    terms_of(off, batch)["loss"].backward()
    moved = off.mixtures["arousal"].means.grad.clone()
    assert moved.abs().sum() > 0
    off.zero_grad()
    with torch.no_grad():
        gaussian = off.encode(batch["tokens"])["arousal"]
        log_q = off.mixtures["arousal"].log_odds(drawn(off, batch)["arousal"])
    label = batch["label"][:, :1].expand(-1, 3)
    found = mixture_kl(
        *gaussian, log_q.log_softmax(-1), off.mixtures["arousal"], label, True
    )
    (found.kl + off.config.alpha * found.spread).sum(-1).mean().backward()
    torch.testing.assert_close(
        moved, off.mixtures["arousal"].means.grad * a_token(batch), rtol=1e-3, atol=1e-4
    )


def test_components_start_at_the_means_of_labelled_classes(tables, batch):
    model = make(tables, start="labels", kl_warmup=7).eval()
    assert [step for step in range(20) if model.settles_at(step)] == [0, 7]
    assert not make(tables).settles_at(0)
    before = model.mixtures["valence"].means.clone()
    model.settle([batch["tokens"]], [batch["label"]])
    mean, _ = model.encode(batch["tokens"])["arousal"]
    torch.testing.assert_close(model.mixtures["arousal"].means[0], mean[0].mean(0))
    torch.testing.assert_close(
        model.mixtures["arousal"].means[1], mean[[1, 3]].mean((0, 1))
    )
    model.settle([batch["tokens"]], [torch.tensor([[0, -1]] * 4)])
    assert not torch.equal(model.mixtures["valence"].means, before)


def test_a_fitted_prior_is_what_pieces_are_drawn_from(tables, batch):
    model = make(tables, prior="fitted", unit_scale=True).eval()
    given = []
    model.decoder.condition.register_forward_hook(lambda _, z, __: given.append(z[0]))
    model.fit_prior([batch["tokens"]], [torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]])])
    asked = {"arousal": 1, "valence": 0}
    model.generate(asked, 2, 3, SamplingConfig(noise=0.0))
    sigma = model.config.sigma
    wanted = [model.priors[axis].means[level] / sigma for axis, level in asked.items()]
    torch.testing.assert_close(given[0], torch.cat(wanted).expand(2, 3, -1))
    assert (model.priors["arousal"].means[0] != model.priors["arousal"].means[1]).all()


def test_of_an_axis_that_is_not_inferred_unlabelled_songs_are_held_to_the_middle(
    tables, batch
):
    model = make(tables, inferred=["valence"])
    unlabelled = {**batch, "label": torch.full((4, 2), -1)}
    terms = terms_of(model, unlabelled)
    mean, log_variance = model.encode(batch["tokens"])["arousal"]
    mixture = model.mixtures["arousal"]
    wanted = gaussian_kl(mean, log_variance, mixture.means.mean(0), mixture.log_variance)
    torch.testing.assert_close(terms["arousal_kl"], wanted.sum(-1).mean())
    assert terms["arousal_category"] == 0 and terms["valence_category"] > 0
    assert terms["arousal_spread"] > 0
    moved = make(tables, inferred=["valence"], alpha=0.9)
    torch.testing.assert_close(
        terms_of(moved, unlabelled)["arousal_kl"], terms["arousal_kl"]
    )


def test_the_first_tempo_of_a_bar_is_told():
    tokens = torch.tensor([[[2, 3, 19 + 7, 83, 523, 843], [2, 3, 83, 523, 843, 0]]])
    assert first_tempo(tokens).tolist() == [[7, -100]]


def test_nothing_of_the_latent_is_taught_while_the_kl_is_off(tables, batch):
    model = make(tables)
    off, on = (terms_of(model, batch, torch.tensor(step)) for step in (0, 1))
    assert taught(model, off["loss"]) >= {"encoders.arousal", "decoder.head"}
    assert not {"mixtures.arousal", "mixtures.valence"} & taught(model, off["loss"])
    assert {"mixtures.arousal", "mixtures.valence"} <= taught(model, on["loss"])


def test_the_paper_is_of_the_papers_size():
    with torch.device("meta"):
        config = from_tables({"name": "paper", "kind": "semg_gmvae"})
        model = SemgGmvae(config.model, config.data)
    assert 110e6 < sum(parameter.numel() for parameter in model.parameters()) < 125e6
    assert model.flops_per_step(16 * 20 * 128, 128) == pytest.approx(30.3e12, rel=0.02)
