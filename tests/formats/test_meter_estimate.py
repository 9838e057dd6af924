"""The meter estimate: its table, songs whose meter is plain, and real songs against 4/4
always."""

import numpy as np
import pytest

from pipelines.formats.meter_estimate import (
    LEAST_CONFIDENCE,
    MIN_NOTES,
    estimate_meter,
    feature_names,
    features,
    probabilities,
)
from pipelines.formats.meter_weights import WEIGHTS
from pipelines.formats.midi import read_midi
from schemas.contracts import Limits
from schemas.song import BASS, DRUMS, PIANO, make_notes


def accompanied(quarters: int, n_bars: int = 32) -> np.ndarray:
    """Bars of a low note on the first quarter and chords on the others, a kick below; the
    harmony changes from bar to bar."""
    rows = []
    for bar in range(n_bars):
        root = 36 + (0, 5, 7, 9)[bar * bar % 4]
        begin = bar * quarters * 24
        rows.append((begin, 24, root, 100, BASS))
        rows.append((begin, 12, 36, 100, DRUMS))
        for beat in range(1, quarters):
            at = begin + beat * 24
            rows += [(at, 20, root + above, 70, PIANO) for above in (24, 28, 31)]
            rows.append((at, 12, 42, 60, DRUMS))
    return make_notes(*np.array(rows).T)


def test_the_table_has_a_row_a_feature() -> None:
    assert [row[0] for row in WEIGHTS] == ["bias", *feature_names()]
    assert len(features(accompanied(4))) == len(feature_names())


@pytest.mark.parametrize("quarters", [3, 4])
def test_a_plain_accompaniment_is_heard(quarters: int) -> None:
    meter = estimate_meter(accompanied(quarters))
    assert meter is not None and (meter.numerator, meter.denominator) == (quarters, 4)
    assert meter.confidence >= LEAST_CONFIDENCE


def test_numbers_are_those_of_a_loop() -> None:
    """The likeness after three beats and the kick's period, counted the slow way."""
    notes = accompanied(3)
    rows = [tuple(int(value) for value in note) for note in notes.tolist()]
    n_beats = max(row[0] for row in rows) // 24 + 1
    patterns = np.zeros((n_beats, 4))
    kicks = np.zeros(n_beats)
    for start, _, pitch, _, track in rows:
        patterns[start // 24, start % 24 // 6] += 1
        kicks[start // 24] += track == DRUMS and pitch in (35, 36)
    like = {}
    for lag in (1, 2, 3, 4, 6, 8, 9, 12):
        pairs = [
            float(one @ other / np.sqrt((one @ one) * (other @ other)))
            for one, other in zip(patterns[:-lag], patterns[lag:], strict=True)
            if one.any() and other.any()
        ]
        like[lag] = sum(pairs) / len(pairs)
    found = dict(zip(feature_names(), features(notes), strict=True))
    mean = sum(like.values()) / len(like)
    assert found["onsets like themselves after 3"] == pytest.approx(like[3] - mean)
    standard = (kicks - kicks.mean()) / kicks.std()
    assert found["kick every 3 from the first"] == pytest.approx(standard[::3].mean())
    strongest = max(standard[phase::3].mean() for phase in range(3))
    assert found["kick every 3"] == pytest.approx(strongest)


def test_a_song_too_short_or_of_drums_alone() -> None:
    assert estimate_meter(accompanied(3)[: MIN_NOTES - 1]) is None
    notes = accompanied(4)
    likely = probabilities(features(notes[notes["track"] == DRUMS]))
    assert likely.sum() == pytest.approx(1) and (likely >= 0).all()


def test_real_waltzes_and_songs_in_four(nottingham_root) -> None:
    """Taught on these tunes too, so this shows no more than that the table was not
    spoiled; tests/bench/fit_meter.py holds songs out."""
    right, always, n = 0, 0, 0
    for path in sorted((nottingham_root / "MIDI").glob("*.mid"))[::12]:
        midi = read_midi(path.read_bytes(), Limits())
        meters = {meter[1:] for meter in midi.time_signatures}
        if meters not in ({(3, 4)}, {(4, 4)}):
            continue
        columns = [(t.start, t.duration, t.pitch, t.velocity) for t in midi.tracks]
        start, duration, pitch, velocity = map(np.concatenate, zip(*columns, strict=True))
        notes = make_notes(start, duration, pitch, velocity, np.full(len(start), PIANO))
        meter = estimate_meter(notes)
        said = (meter.numerator, meter.denominator) if meter else (4, 4)
        right += {said} == meters
        always += meters == {(4, 4)}
        n += 1
    assert n > 40 and right / n > 0.93 > always / n
