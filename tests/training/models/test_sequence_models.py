"""The rivals without latents: their views of the tokens lose nothing, their conditions are
heard, and they learn and write."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from schemas import mock
from schemas.grid import quantise
from schemas.remi import BAR_TOKEN, EOS, PAD, PITCH, VELOCITY, RemiConfig, decode, encode
from schemas.song import DRUMS, PIANO
from training.config import AXES, DataConfig, from_tables
from training.data.views import separate, view_song
from training.models.ec2vae import rhythm_of
from training.models.emopia import emotion_step
from training.models.emotionbox import controls, density_bin
from training.parts import performance
from training.parts.compound import BAR_FIELD, END, METRICAL, NOTE, compound, remi
from training.parts.conditioning import label_of
from training.parts.melody import HOLD, MELODIC, REST, melody, song_of_melody
from training.parts.performance import NONE, OFF, ON, SHIFT, perform, song_of_events
from training.parts.sampling import SamplingConfig, grammar
from training.registry import MODELS

SMALL = {"layers": 2, "width": 32, "dropout": 0.0}
STACK = {**SMALL, "heads": 2, "feed_forward": 64}
SETTINGS = {
    "control": STACK,
    "emopia": STACK,
    "emotionbox": {**SMALL, "layers": 1, "width": 64, "embedding": 32},
    "ec2vae": {"width": 64, "embedding": 32, "latent": 16},
}
BARS, LENGTH = 3, 48
LOW_HIGH = [{"arousal": level, "valence": level} for level in (0, 1)]


def crop(song, bars=BARS, length=LENGTH):
    """tokens and target (T, L) of a song's first bars."""
    view = view_song(song, DataConfig(tokens_per_bar=length), RemiConfig())
    parts = [
        part.astype(np.int64)
        for part in np.split(view.tokens, view.bar_offset[1:-1])[:bars]
    ]
    tokens = np.stack([np.pad(part, (0, length - len(part))) for part in parts])
    followed = [
        np.append(part[1:], BAR_TOKEN if n < bars - 1 else EOS)
        for n, part in enumerate(parts)
    ]
    return tokens, np.stack([np.pad(part, (0, length - len(part))) for part in followed])


@pytest.fixture(scope="module")
def batch():
    tokens, target = zip(*map(crop, mock.songs(4)), strict=True)
    label = torch.tensor([[0, 1], [1, 0], [-1, -1], [1, -1]])
    return {
        "tokens": torch.tensor(np.stack(tokens)),
        "target": torch.tensor(np.stack(target)),
        "label": label,
    }


def make(kind, layout="padded", **changes):
    data = {"bars": BARS, "tokens_per_bar": LENGTH, "layout": layout}
    config = from_tables(
        {"name": "test", "kind": kind, "model": {**SETTINGS[kind], **changes}, "data": data}
    )
    torch.manual_seed(0)
    return MODELS[kind]().make(config.model, config.data)


def taught(model, batch, steps=60):
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(steps):
        optimiser.zero_grad()
        terms = model(batch, torch.tensor(step))
        terms["loss"].backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("kind", SETTINGS)
def test_each_overfits_a_batch_saves_loads_and_writes(kind, batch):
    model = make(kind)
    fresh = model.eval()(batch, None)
    assert all(torch.isfinite(term) for term in fresh.values())
    after = taught(model.train(), batch).eval()(batch, torch.tensor(0))["loss"]
    # A random score of 923 tokens cannot be told from what stands before: to know it is to
    # know it by heart.
    assert after < 0.5 * fresh["loss"], (after, fresh["loss"])
    again = make(kind).eval()
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    losses = []
    for either in (again, model):
        torch.manual_seed(1)
        losses.append(either(batch, None)["loss"])
    assert losses[0] == losses[1]
    songs = model.generate({"arousal": 1, "valence": None}, 3, 2, SamplingConfig(seed=5))
    assert len(songs) == 3 and all(
        len(song.bars) in (2, 3) and len(song.notes) for song in songs
    )
    same = again.generate({"arousal": 1, "valence": None}, 3, 2, SamplingConfig(seed=5))
    assert all((one.notes == two.notes).all() for one, two in zip(songs, same, strict=True))
    assert model.flops_per_step(1000, LENGTH) > 0


@pytest.mark.parametrize("kind", SETTINGS)
def test_padding_is_neither_taught_nor_heard(kind, batch):
    # In a band over bars a place counts from the bar line, so that a longer bar is another
    # piece.
    wider = (0,) if kind == "control" else (0, 9)
    losses = []
    for layout, n in itertools.product(("padded", "packed"), wider):
        model = make(kind, layout).eval()
        losses.append(model(longer(batch, n), None)["loss"])
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=1e-5, atol=1e-6)
    model = make(kind).eval()
    model(batch, None)["loss"].backward()
    embedding = {
        "control": "decoder.embedding",
        "emopia": "embeddings.pitch",
        "emotionbox": "embedding",
        "ec2vae": "embedding",
    }[kind]
    gradient = model.get_submodule(embedding).weight.grad
    assert gradient.abs().sum() > 0 and (
        kind != "control" or gradient[PAD].abs().sum() == 0
    )


def test_ec2vae_is_taught_by_the_melody_alone(batch):
    model = make("ec2vae").eval()
    torch.manual_seed(0)
    terms = model(batch, None)
    with torch.no_grad():
        mean, log_variance = torch.cat(
            [torch.stack(pair) for pair in model.encode(batch["tokens"]).values()], -1
        )
    of_z = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    wanted = (
        torch.distributions.kl_divergence(of_z, torch.distributions.Normal(0.0, 1.0))
        .mean((0, 1))
        .sum()
    )
    torch.testing.assert_close(terms["arousal_kl"] + terms["valence_kl"], wanted)
    torch.manual_seed(0)
    labelled = model({**batch, "label": torch.ones(4, 2, dtype=torch.long)}, None)
    assert terms["loss"] == labelled["loss"] and not model.means.any()


def longer(batch, places):
    return {
        name: nn.functional.pad(value, (0, places)) if name != "label" else value
        for name, value in batch.items()
    }


@pytest.mark.parametrize("kind", ["control", "emopia"])
def test_the_class_reaches_every_bar_and_what_is_written(kind, batch):
    model = make(kind).eval()
    high = model({**batch, "label": torch.ones(4, 2, dtype=torch.long)}, None)["loss"]
    assert (
        high != model({**batch, "label": torch.zeros(4, 2, dtype=torch.long)}, None)["loss"]
    )
    # Songs that are alike but for their label: a model that hears it tells them apart.
    tokens, target = (
        batch[name][:2].repeat_interleave(2, 0) for name in ("tokens", "target")
    )
    target_of = {
        "tokens": tokens[[0, 2]],
        "target": target[[0, 2]],
        "label": torch.tensor([[0, 0], [1, 1]]),
    }
    model = taught(make(kind), target_of, 80).eval()
    swapped = {**target_of, "label": target_of["label"].flip(0)}
    assert model(swapped, None)["loss"] > model(target_of, None)["loss"] + 0.05
    low, high = (
        model.generate(classes, 1, BARS, SamplingConfig(temperature=0.0))[0]
        for classes in LOW_HIGH
    )
    assert low.notes.tolist() != high.notes.tolist()


def test_control_hides_classes_from_training_alone_and_unknown_is_a_class_of_its_own(batch):
    model = make("control", hidden=1.0)
    unknown = {**batch, "label": torch.full((4, 2), -1)}
    assert model(batch, None)["loss"] == model(unknown, None)["loss"]
    assert model.eval()(batch, None)["loss"] != model(unknown, None)["loss"]


def test_guidance_of_one_is_none_and_of_nought_forgets_the_class(batch):
    model = taught(make("control"), batch, 20).eval()
    sampling, written = SamplingConfig(seed=1), {}
    for weight in (1.0, 1.0 + 1e-9, 0.0, 4.0):
        model.config = make("control", guidance=weight).config
        written[weight] = [
            model.generate(classes, 2, 2, sampling)[0].notes.tolist()
            for classes in LOW_HIGH
        ]
    assert written[1.0] == written[1.0 + 1e-9] and written[4.0] != written[1.0]
    assert written[0.0][0] == written[0.0][1] and written[1.0][0] != written[1.0][1]


def test_compound_tokens_say_all_that_remi_says(batch):
    flat = torch.cat([batch["tokens"].flatten(1), torch.full((4, 1), EOS)], 1)
    steps = compound(flat)
    for row, piece in zip(flat, steps, strict=True):
        torch.testing.assert_close(remi(piece), row[row != PAD])
    ends = (steps[..., 0] == END).nonzero()[:, 1]
    assert all((steps[n, end + 1 :] == 0).all() for n, end in enumerate(ends.tolist()))
    assert (
        (steps[..., 0] == NOTE).sum(1) == ((flat >= PITCH) & (flat < VELOCITY)).sum(1)
    ).all()


def test_a_note_that_a_cut_tail_halves_is_left_out():
    song = mock.song("Piano: C4 D4 | E4 _")
    tokens = torch.from_numpy(encode(song, quantise(song)).tokens.astype(np.int64))
    for length, notes in ((6, 1), (9, 1), (10, 2)):
        assert int((compound(tokens[None, :length])[..., 0] == NOTE).sum()) == notes


def test_emopia_tells_the_kind_first_and_the_fields_hear_it(batch):
    model = make("emopia").eval()
    hidden = torch.randn(5, SMALL["width"])
    metrical, note = (
        model.fields(hidden, torch.full((5,), kind)) for kind in (METRICAL, NOTE)
    )
    assert not any(torch.allclose(metrical[name], note[name]) for name in note)


def test_emopia_hides_the_emotion_until_pretraining_ends_and_then_learns_of_labelled_songs(
    batch,
):
    model = make("emopia", pretrain_steps=10).eval()
    bare = {**batch, "label": torch.full((4, 2), -1)}
    losses = {step: model(batch, torch.tensor(step))["loss"] for step in (9, 10)}
    assert losses[9] == model(bare, torch.tensor(9))["loss"] != losses[10]
    labelled = {name: value[[0, 1, 3]] for name, value in batch.items()}
    torch.testing.assert_close(
        losses[10], model(labelled, None)["loss"], rtol=1e-5, atol=1e-6
    )
    assert model(bare, torch.tensor(10))["loss"] == 0


def test_emopia_reconstruction_is_nats_of_a_remi_token(batch):
    model = make("emopia").eval()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    steps = compound(batch["tokens"].flatten(1))
    metrical, notes = ((steps[..., 0] == kind).sum() for kind in (METRICAL, NOTE))
    sizes = np.log([5, 18 * 65, 440 + 1, 65, 17])
    # The end after the last token is a step too.
    wanted = (
        (metrical + notes + 4) * sizes[0] + metrical * sizes[1] + notes * sizes[2:].sum()
    )
    torch.testing.assert_close(
        model(batch, None)["reconstruction"],
        (wanted / (batch["target"] != PAD).sum()).float(),
        rtol=1e-4,
        atol=0,
    )


def test_emopia_writes_remi_whatever_it_has_learnt():
    model = make("emopia")
    pieces = model.write(
        label_of({"arousal": 1, "valence": 0}, 4),
        3,
        SamplingConfig(temperature=3.0, top_p=1.0, seed=2),
    )
    allowed = grammar()
    for tokens in pieces:
        bars = np.split(tokens.astype(np.int64), np.flatnonzero(tokens == BAR_TOKEN))[1:]
        assert len(bars) == 3 and all(len(bar) <= LENGTH for bar in bars)
        for bar in bars:
            followed = np.append(bar[1:], BAR_TOKEN)
            assert allowed[bar, followed].all()
            beats = bar[(bar > BAR_TOKEN) & (bar < 19)]
            assert (np.diff(beats) > 0).all()


def test_the_emotions_step_is_none_of_the_pieces():
    step = emotion_step(torch.tensor([[0, 1], [-1, -1]]))
    assert step.shape == (2, 1, 8) and step[:, 0, -len(AXES) :].tolist() == [[2, 3], [1, 1]]
    assert BAR_FIELD not in step[:, 0, 1:6]


def test_events_say_every_note_of_one_instrument_within_a_step_of_loudness():
    for song in mock.songs(6):
        tokens, _ = crop(song, 12, 128)
        played = perform(np.stack([tokens, tokens[::-1]]))
        for row, piece in enumerate((tokens, tokens[::-1])):
            wanted = merged(piece)
            found = song_of_events(played.event[row][played.event[row] != NONE])
            assert len(found.bars) == 12 and len(found.notes) == len(wanted)
            for name in ("start", "duration", "pitch"):
                assert (found.notes[name] == wanted[name]).all(), name
            loudness = found.notes["velocity"].astype(int) - wanted["velocity"]
            assert np.abs(loudness).max(initial=0) <= performance.LOUDNESS_STEP // 2


def merged(tokens):
    """Notes (NOTE) of tokens (T, L) on one piano without drums, cut at the crop's end:
    note by note, for comparison."""
    notes = decode(tokens[tokens != PAD]).notes
    notes = notes[notes["track"] != DRUMS].copy()
    notes["track"] = PIANO
    notes = separate(notes)
    notes["duration"] = np.minimum(notes["duration"], 96 * len(tokens) - notes["start"])
    return notes


def test_events_end_before_they_begin_and_silence_is_counted():
    song = mock.song("Piano: C4 C4 - - | - | - | - - - D4")
    tokens, _ = crop(song, 4)
    played = perform(tokens[None])
    (event,) = played.event
    kinds = [
        ("off" if OFF <= one < performance.LOUDNESS else "on")
        for one in event
        if ON <= one < performance.LOUDNESS
    ]
    assert kinds == ["on", "off", "on", "off", "on", "off"]
    shifts = event[event >= SHIFT] - SHIFT + 1
    assert shifts.tolist() == [4, 4, 32, 20, 4] and shifts.sum() == 64
    assert played.time[0].tolist() == sorted(played.time[0].tolist())


def test_controls_tell_the_coming_bar():
    song = mock.song("Piano: C4+E4 _ G4 _ | A4 A4 A4 A4 | - - - -")
    tokens, _ = crop(song, 3)
    played = perform(tokens[None])
    control = controls(played)[0]
    at = {time: control[np.flatnonzero(played.time[0] == time)[0]] for time in (0, 8, 16)}
    np.testing.assert_allclose(at[0][[0, 4, 7]], 1 / 3)
    np.testing.assert_allclose(at[8][[7, 9]], [1 / 3, 2 / 3])
    np.testing.assert_allclose(at[16][9], 1.0)
    assert [int(at[time][12:].argmax()) for time in (0, 8, 16)] == [1, 1, 2]
    assert density_bin(torch.tensor([0, 1, 3, 4, 33, 34, 90])).tolist() == [
        0,
        1,
        1,
        2,
        11,
        11,
        11,
    ]


def test_emotionbox_hears_its_control_and_needs_no_label(batch):
    model = make("emotionbox").eval()
    before = torch.zeros(1, 4, dtype=torch.long)
    one, two = (
        torch.zeros(1, 4, 24).index_fill_(2, torch.tensor([at]), 1.0) for at in (3, 20)
    )
    assert not torch.allclose(model.logits(before, one)[0], model.logits(before, two)[0])
    assert (
        model(batch, None)["loss"]
        == model({**batch, "label": torch.full((4, 2), -1)}, None)["loss"]
    )


def test_emotionbox_learns_to_obey_density_and_scale():
    texts = ["C4 E4 G4 C5 E4 G4 C5 E5", "A3 _ _ _ _ _ _ _"]
    tokens = np.stack(
        [crop(mock.song("Piano: " + " | ".join([text] * BARS)))[0] for text in texts]
    )
    model = taught(make("emotionbox"), {"tokens": torch.from_numpy(tokens)}, 50).eval()
    dense, sparse = model.write(
        torch.from_numpy(controls(perform(tokens))[:, 0]),
        BARS,
        SamplingConfig(temperature=0.5),
    )
    many, few = (song_of_events(events).notes["pitch"] for events in (dense, sparse))
    assert len(many) > 2 * len(few) > 0
    assert np.isin(many % 12, (0, 4, 7)).mean() > 0.8 and (few % 12 == 9).mean() > 0.5


def test_emotionbox_writes_whole_bars_with_every_note_ended():
    model = make("emotionbox")
    control = torch.rand(3, 24)
    for events in model.write(
        control, 2, SamplingConfig(temperature=5.0, top_p=1.0, seed=3)
    ):
        events = events[events != NONE]
        ons, offs = (
            int(((events >= first) & (events < stop)).sum())
            for first, stop in ((ON, OFF), (OFF, performance.LOUDNESS))
        )
        song = song_of_events(events)
        assert len(song.bars) == 2 and len(song.notes) == ons >= offs


def top_line(tokens):
    """Steps of one crop (T, L), step by step: what sounds of the first melodic track
    that has notes."""
    notes = decode(tokens[tokens != PAD]).notes
    track = next((one for one in MELODIC if (notes["track"] == one).any()), PIANO)
    steps, until = np.full(16 * len(tokens), REST), 0
    for at in range(len(steps)):
        here = notes[(notes["track"] == track) & (notes["start"] == 6 * at)]
        if len(here):
            highest = here[here["pitch"] == here["pitch"].max()]
            steps[at], until = highest["pitch"][0] - 21, at + highest["duration"].max() // 6
        elif at < until:
            steps[at] = HOLD
    return steps.reshape(-1, 16)


def test_melody_is_the_top_line_and_comes_back():
    crops = [crop(song, 6, 128)[0] for song in mock.songs(5)]
    crops.append(
        crop(
            mock.song(
                "Guitar: - C4+E4 _ - | G4 _ _ _ | - - - - | - - - - | - - - - | - - - C3"
            ),
            6,
            128,
        )[0]
    )
    for tokens, steps in zip(crops, melody(np.stack(crops)), strict=True):
        np.testing.assert_array_equal(steps, top_line(tokens))
        song = song_of_melody(steps)
        assert len(song.bars) == 6 and len(song.notes) == (steps < HOLD).sum()
        view = view_song(song, DataConfig(tokens_per_bar=128), RemiConfig())
        parts = [
            np.pad(part, (0, 128 - len(part)))
            for part in np.split(view.tokens.astype(np.int64), view.bar_offset[1:-1])
        ]
        long = (np.diff(np.flatnonzero(np.append(steps.ravel() != HOLD, True))) > 16).any()
        assert long or (melody(np.stack(parts)[None])[0] == steps).all()


def test_ec2vae_rhythm_follows_its_half_and_classes_move_it():
    quick, slow = "{0} {1} {2} {0} {1} {2} {0} {1}", "{0} _ _ _ {1} _ _ _"
    texts = [
        rhythm.format(*names)
        for rhythm in (quick, slow)
        for names in (("C4", "E4", "G4"), ("B5", "A5", "F5"))
    ]
    tokens = torch.from_numpy(
        np.stack(
            [crop(mock.song("Piano: " + " | ".join([text] * BARS)))[0] for text in texts]
        )
    )
    label = torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
    # At the paper's weight of the KL z_p says the rhythm too for some hundred steps.
    model = taught(
        make("ec2vae", kl_weight=1.0), {"tokens": tokens, "label": label}, 100
    ).eval()
    (z_r, _), (z_p, _) = model.encode(tokens).values()
    rhythm = rhythm_of(model.melody(tokens))
    swapped = torch.stack(
        model.write_steps(
            torch.cat([z_r.flip(0), z_p], -1), SamplingConfig(temperature=0.0)
        )
    )
    assert (rhythm_of(swapped) == rhythm.flip(0)).float().mean() > 0.8
    assert (model.means[:, 1] != model.means[:, 0]).all()
    low, high = (
        model.generate(classes, 1, BARS, SamplingConfig(seed=1))[0] for classes in LOW_HIGH
    )
    assert low.notes.tolist() != high.notes.tolist()


def test_ec2vae_tells_rhythm_from_one_half(batch):
    model = make("ec2vae")
    model(batch, None)["rhythm"].backward()
    rows = model.gaussian.weight.grad.abs().sum(1)
    of_mean, of_spread = rows.view(2, 2, -1)
    assert (
        (of_mean[0] > 0).all()
        and (of_spread[0] > 0).all()
        and not of_mean[1].any()
        and not of_spread[1].any()
    )
