"""The player's data: seconds and notes as the song has them, in a page's own words."""

import json
import re

import numpy as np
import pytest

from schemas import mock
from schemas.player import controls, piece
from schemas.song import seconds_at

SONG = mock.songs(1, n_bars=6)[0]


def test_notes_and_bars_are_the_song_s_in_seconds() -> None:
    whole = piece(SONG)
    edges = np.append(SONG.bars["start"], SONG.bars["start"][-1] + SONG.bars["length"][-1])
    assert whole["bars"] == pytest.approx(seconds_at(SONG.tempi, edges).tolist(), abs=6e-4)
    assert len(whole["notes"]) == len(SONG.notes)
    for (at, length, pitch, velocity, track), row in zip(
        whole["notes"], SONG.notes.tolist(), strict=True
    ):
        begin, end = seconds_at(SONG.tempi, np.array([row[0], row[0] + row[1]]))
        assert (at, length) == pytest.approx((begin, end - begin), abs=6e-4)
        assert (pitch, velocity, track) == row[2:]


def test_the_first_bars_alone() -> None:
    few = piece(SONG, 2)
    assert len(few["bars"]) == 3
    assert all(note[0] < few["bars"][-1] for note in few["notes"])


def test_a_title_can_break_nothing() -> None:
    text = controls('</script>"<b>', SONG, 1)
    assert text.count("</script>") == 1 and '"<b>' not in text
    data = re.search(r'class="piece">(.*)</script>', text)
    assert data and json.loads(data[1]) == piece(SONG, 1)
