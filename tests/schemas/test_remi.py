"""REMI: the vocabulary of the paper's Table 1, and nothing lost but what is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import mock
from schemas.grid import quantise
from schemas.remi import RemiConfig, decode, encode, token_names
from schemas.song import Song


def slow_tokens(song: Song, every_beat: bool = False) -> list[str]:
    """The grammar written out note by note: the oracle."""
    words: list[str] = []
    grid = quantise(song)
    bpm = None
    for bar in range(len(song.bars)):
        words.append("Bar")
        first = True
        for position in range(16):
            here = [
                (
                    int(note["track"]),
                    int(note["pitch"]),
                    int(note["velocity"]),
                    int(grid.sixteenths[index]),
                )
                for index, note in enumerate(song.notes)
                if (grid.bar[index], grid.position[index]) == (bar, position)
                and 21 <= note["pitch"] <= 108
            ]
            if not here:
                continue
            words.append(f"Beat_{position}")
            tick = song.bars["start"][bar] + 6 * position
            exact = [float(tempo["bpm"]) for tempo in song.tempi if tempo["start"] <= tick][
                -1
            ]
            nearest = min(range(32, 222, 3), key=lambda value: (abs(value - exact), -value))
            if first or nearest != bpm or every_beat:
                words.append(f"Tempo_{nearest}")
            bpm, first = nearest, False
            for track, pitch, velocity, sixteenths in sorted(
                here, key=lambda note: note[:2]
            ):
                name = ("Drums", "Piano", "Guitar", "Bass", "Strings")[track]
                quantised_velocity = velocity if velocity % 2 else velocity - 1
                words += [
                    f"Pitch_{name}_{pitch}",
                    f"Velocity_{name}_{quantised_velocity}",
                    f"Duration_{name}_{min(sixteenths, 16)}",
                ]
    return words


def names(tokens: np.ndarray) -> list[str]:
    vocabulary = token_names()
    return [vocabulary[token] for token in tokens]


def test_the_vocabulary_is_table_1() -> None:
    vocabulary = token_names()
    assert len(vocabulary) == len(set(vocabulary)) == 923
    for index, name in {
        0: "PAD", 1: "EOS", 2: "Bar", 3: "Beat_0", 18: "Beat_15", 19: "Tempo_32", 82: "Tempo_221", 83: "Pitch_Drums_21",
        171: "Pitch_Piano_21", 522: "Pitch_Strings_108", 523: "Velocity_Drums_1", 842: "Velocity_Strings_127",
        843: "Duration_Drums_1", 922: "Duration_Strings_16",
    }.items():  # fmt: skip
        assert vocabulary[index] == name


@pytest.mark.parametrize("tempo", ["on_change", "every_beat"])
def test_tokens_are_those_of_the_grammar_written_out(tempo: str) -> None:
    for song in mock.songs(8, n_bars=4):
        remi = encode(song, quantise(song), RemiConfig(tempo))
        assert names(remi.tokens) == slow_tokens(song, tempo == "every_beat")
        assert [names(remi.tokens)[at] for at in remi.bar_offset[:-1]] == ["Bar"] * len(
            song.bars
        )
        assert remi.bar_offset[-1] == len(remi.tokens)


def expected_notes(song: Song) -> list[tuple[int, ...]]:
    """The quantised song, note by note."""
    grid = quantise(song)
    rows = []
    for index, note in enumerate(song.notes):
        if 21 <= note["pitch"] <= 108 and grid.position[index] < 16:
            start = int(song.bars["start"][grid.bar[index]] + 6 * grid.position[index])
            velocity = int(note["velocity"])
            rows.append(
                (
                    start,
                    int(note["track"]),
                    int(note["pitch"]),
                    6 * min(int(grid.sixteenths[index]), 16),
                    velocity - 1 + velocity % 2,
                )
            )
    return sorted(rows)


def decoded_notes(song: Song) -> list[tuple[int, ...]]:
    remi = encode(song, quantise(song))
    decoded = decode(remi.tokens, song.bars)
    assert decoded.ignored == 0
    return sorted(
        tuple(
            int(note[name]) for name in ("start", "track", "pitch", "duration", "velocity")
        )
        for note in decoded.notes
    )


@given(st.integers(0, 2**32 - 1))
def test_decode_gives_back_the_quantised_song(seed: int) -> None:
    song = mock.random_song(np.random.default_rng(seed), "any", n_bars=5)
    assert decoded_notes(song) == expected_notes(song)


def test_decoded_tempo_is_the_quantised_tempo_at_every_beat() -> None:
    for song in mock.songs(10):
        remi = encode(song, quantise(song))
        decoded = decode(remi.tokens, song.bars)
        for tick in decoded.notes["start"]:
            was = song.tempi["bpm"][np.searchsorted(song.tempi["start"], tick, "right") - 1]
            now = decoded.tempi["bpm"][
                np.searchsorted(decoded.tempi["start"], tick, "right") - 1
            ]
            assert abs(np.clip(was, 32, 221) - now) <= 1.5


def test_losses_are_counted() -> None:
    song = mock.song(
        "Piano: C0 C4 C4 C9\nGuitar: - - - - | C4 _ _ _ | _ _ _ _ ", meter=(4, 4)
    )
    assert vars(encode(song, quantise(song)).losses) == {
        "moved_onsets": 0, "clipped_durations": 0, "dropped_pitches": 2, "dropped_positions": 0,
    }  # fmt: skip
    held = mock.song("Piano: C4 _ _ _ _ _", meter=(9, 8))
    losses = encode(held, quantise(held)).losses
    assert (losses.clipped_durations, losses.dropped_positions) == (1, 0)
    late = mock.song("Piano: - - - - - - - - C4", meter=(9, 8))
    assert encode(late, quantise(late)).losses.dropped_positions == 1


def test_decode_takes_what_a_model_may_write() -> None:
    vocabulary = {name: index for index, name in enumerate(token_names())}
    words = "Beat_3 Bar Pitch_Piano_60 Beat_0 Pitch_Piano_60 Velocity_Bass_1 "
    words += "Pitch_Piano_62 Velocity_Piano_81 Duration_Piano_4 EOS PAD"
    decoded = decode(np.array([vocabulary[word] for word in words.split()]))
    assert decoded.notes["pitch"].tolist() == [62]
    assert decoded.notes["duration"].tolist() == [24]
    assert decoded.ignored == 4
    with pytest.raises(ValueError, match="0-922"):
        decode(np.array([923]))
    with pytest.raises(ValueError, match="2 Bar tokens for 1 bars"):
        decode(np.array([2, 2]), mock.song("Piano: C4").bars)
    assert len(decode(np.zeros(0, np.int64)).notes) == 0
