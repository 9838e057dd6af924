"""How the model's parts are wired: which loss teaches what, and what each switch takes
away."""

import pytest
import torch

from training.config import from_tables
from training.models.semg_gmvae import SemgGmvae
from training.parts.adversary import feature_loss, unlikelihood


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
    latent = tables["model"]["latent"]
    torch.testing.assert_close(
        more,
        (full["arousal_spread"] + full["valence_spread"]) / latent,
        rtol=1e-3,
        atol=1e-4,
    )
    mutual = terms_of(make(tables, mutual_information=False), batch)
    assert mutual["arousal_category"] > full["arousal_category"]
    supervised = terms_of(make(tables, label_weight=1.0), batch)
    assert supervised["loss"] > full["loss"]


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
