"""What is written is of the grammar, goes to MIDI and back, and obeys the latents'
arithmetic."""

import itertools

import numpy as np
import pytest
import torch

from schemas.grid import quantise
from schemas.midi import write_midi
from schemas.remi import (
    BAR_TOKEN,
    BEAT,
    DURATION,
    PITCH,
    TEMPO_TOKEN,
    VELOCITY,
    decode,
    encode,
)
from training.config import from_tables
from training.data.midi import read_midi
from training.data.views import song_of
from training.generation.transfer import (
    emotion_name,
    infer_classes,
    shift_emotion,
    song_latents,
    swap_latents,
)
from training.parts.latent import prior_latents
from training.parts.sampling import (
    SamplingConfig,
    grammar,
    sample_token,
    token_kinds,
    within_kinds,
    write_bars,
)


@pytest.fixture
def model(config):
    from training.models.semg_gmvae import SemgGmvae

    torch.manual_seed(0)
    return SemgGmvae(config.model, config.data).eval()


def pieces(model, n=3, bars=4, **sampling):
    z = prior_latents(model.mixtures, {"arousal": 1, "valence": None}, n, bars, 7)
    return write_bars(model.decoder, z, 48, SamplingConfig(**sampling))


def nearest(model, z):
    """The class of each axis whose component is nearest to all bars of z (T, 2·latent)."""
    return [
        int(mixture.log_odds(part).sum(0).argmax())
        for mixture, part in zip(model.mixtures.values(), z.chunk(2, -1), strict=True)
    ]


def test_written_tokens_are_all_understood_and_in_order(model):
    for tokens in pieces(model):
        assert (tokens == BAR_TOKEN).sum() == 4
        bars = np.split(tokens, np.flatnonzero(tokens == BAR_TOKEN)[1:])
        for bar in bars:
            whole = bar if len(bar) < 48 else bar[: np.flatnonzero(bar >= DURATION)[-1] + 1]
            assert decode(whole).ignored == 0
            beats = whole[(whole >= BEAT) & (whole < TEMPO_TOKEN)].astype(int)
            assert (np.diff(beats) > 0).all()
            for after in np.split(
                whole, np.flatnonzero((whole >= BEAT) & (whole < TEMPO_TOKEN))
            ):
                assert (
                    np.diff(after[(after >= PITCH) & (after < VELOCITY)].astype(int)) > 0
                ).all()


def test_written_tokens_to_midi_and_back(model, tmp_path):
    for index, tokens in enumerate(pieces(model)):
        song = song_of(tokens)
        write_midi(song, str(tmp_path / f"{index}.mid"))
        back = read_midi(str(tmp_path / f"{index}.mid"))
        np.testing.assert_array_equal(back.notes, song.notes)
        again, wanted = (encode(one, quantise(one)) for one in (back, song))
        np.testing.assert_array_equal(again.tokens, wanted.tokens[: len(again.tokens)])
        assert len(song.notes) > 0


def test_the_seed_decides(model):
    first, again, other = (pieces(model, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("beats", [False, True])
def test_the_first_choice_is_the_decoders(tables, beats):
    """Token by token with memory gives the logits of reading the whole at once."""
    from training.models.semg_gmvae import SemgGmvae

    tables["model"]["beats"] = beats
    config = from_tables(tables)
    torch.manual_seed(0)
    model = SemgGmvae(config.model, config.data).eval()
    z = prior_latents(model.mixtures, {"arousal": 0, "valence": 0}, 1, 3, 0)
    tokens = write_bars(model.decoder, z, 12, SamplingConfig(temperature=0.0))[0].astype(
        np.int64
    )
    bars = np.split(tokens, np.flatnonzero(tokens == BAR_TOKEN)[1:])
    padded = torch.zeros(1, 3, 12, dtype=torch.long)
    for index, bar in enumerate(bars):
        padded[0, index, : len(bar)] = torch.from_numpy(bar)
    with torch.no_grad():
        logits = model.decode(padded, z)[0]
    allowed, kind = grammar(), torch.arange(logits.shape[-1])
    for bar, piece in enumerate(bars):
        beat = pitch = 0
        for place, (before, after) in enumerate(itertools.pairwise(piece)):
            beat, pitch = (
                (before, 0)
                if BEAT <= before < TEMPO_TOKEN
                else (beat, before if PITCH <= before < VELOCITY else pitch)
            )
            may = (
                allowed[before]
                & ~((kind >= BEAT) & (kind <= beat))
                & ~((kind >= PITCH) & (kind <= pitch))
            )
            chance = logits[bar, place].masked_fill(~allowed[before], -torch.inf).softmax(0)
            # A token's share of the legal tokens of its kind, times the kind's chance.
            for tokens_of in token_kinds().bool().T:
                legal = chance[tokens_of & may].sum()
                chance[tokens_of] *= min(5.0, chance[tokens_of].sum() / max(legal, 1e-30))
            assert chance.masked_fill(~may, 0.0).argmax() == after


def test_what_is_illegal_gives_its_chance_to_its_own_kind():
    kinds = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    chance = torch.tensor(
        [[0.2, 0.4, 0.3, 0.1], [0.4, 0.2, 0.3, 0.1], [1e-6, 0.6, 0.3, 0.1]]
    )
    legal = torch.tensor(
        [[True, False, True, True], [False, False, True, True], [True, False, True, True]]
    )
    found = within_kinds(chance.log(), legal, kinds).softmax(-1)
    wanted = [[0.6, 0.0, 0.3, 0.1], [0.0, 0.0, 0.75, 0.25], [1e-5, 0.0, 0.75, 0.25]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-5, rtol=1e-4)


def test_nucleus_keeps_the_likeliest_only():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(500, -1)
    seen = {
        p: set(
            sample_token(
                logits, SamplingConfig(1.0, p), torch.Generator().manual_seed(0)
            ).tolist()
        )
        for p in (0.4, 0.75, 1.0)
    }
    assert seen == {0.4: {0}, 0.75: {0, 1}, 1.0: {0, 1, 2, 3}}
    assert sample_token(
        logits, SamplingConfig(0.0), torch.Generator()
    ).unique().tolist() == [0]


def test_latents_turn_and_exchange(model):
    latent = model.mixtures["arousal"].means.shape[1]
    z = prior_latents(model.mixtures, {"arousal": 0, "valence": 1}, 2, 5, 0)
    assert nearest(model, z[0]) == [0, 1]
    turned = shift_emotion(model, z, [0, 1], [1, 1], 1.0)
    assert nearest(model, turned[0]) == [1, 1]
    torch.testing.assert_close(turned[..., latent:], z[..., latent:])
    torch.testing.assert_close(shift_emotion(model, z, [0, 1], [1, 0], 0.0), z)
    torch.testing.assert_close(shift_emotion(model, z, [0, 1], [None, None], 1.0), z)
    a, b = swap_latents(z[0], z[1][:3], "arousal")
    assert a.shape == (3, 2 * latent)
    torch.testing.assert_close(a, torch.cat([z[1][:3, :latent], z[0][:3, latent:]], -1))
    torch.testing.assert_close(b, torch.cat([z[0][:3, :latent], z[1][:3, latent:]], -1))


def test_latents_of_a_bar_do_not_hear_its_padding(model):
    tokens = torch.zeros(1, 2, 48, dtype=torch.long)
    tokens[0, :, 0], tokens[0, :, 1] = BAR_TOKEN, 5
    short = song_latents(model, tokens[..., :20])
    assert (short - song_latents(model, tokens))[0, 0].abs().max() < 1e-5


def test_the_class_of_a_song_is_that_of_its_latents(model):
    tokens = torch.randint(3, 923, (1, 4, 48))
    assert infer_classes(model, tokens) == nearest(model, song_latents(model, tokens)[0])


def test_emotions_have_names():
    assert emotion_name({"arousal": 1, "valence": 0}) == "tense"
    assert emotion_name({"arousal": None, "valence": 0}) == "V0"
