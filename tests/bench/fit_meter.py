"""Fit the meter estimate, and say whether it beats "4/4 always": python
tests/bench/fit_meter.py --nottingham DIR --midi DIR [DIR ...] [--write]

Songs are MIDI files of one stated meter of 2, 3 or 4 quarters a bar. Five folds over songs,
several files of one song in one fold (its folder and name before the first dot; for
Nottingham the tune); each corpus weighs as much as the other. --write puts the weights
fitted on all into pipelines/formats/meter_weights.py.
"""

import argparse
import re
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from key_pop import pitched_notes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from pipelines.formats import meter_estimate
from pipelines.formats.meter_estimate import METERS, feature_names, features, says_enough
from pipelines.formats.midi import MidiFile, read_midi
from schemas.contracts import Limits
from schemas.reject import BadInput

QUARTERS = np.array(list(METERS))
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)


class Corpus(NamedTuple):
    """values: float64[songs, features]; quarters: int64[songs]; song: the group of each."""

    name: str
    values: np.ndarray
    quarters: np.ndarray
    song: np.ndarray


def main() -> None:
    """Print the tables; write the weights where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nottingham", required=True)
    parser.add_argument("--midi", nargs="+", required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    corpora = [
        corpus("nottingham", [arguments.nottingham]),
        corpus("midi", arguments.midi),
    ]
    for one, likely in zip(corpora, held_out(corpora), strict=True):
        show(one, likely)
    across(*corpora)
    if arguments.write:
        write(corpora)


def corpus(name: str, folders: list[str]) -> Corpus:
    """Files of one stated meter that is 2, 3 or 4 quarters long."""
    rows, quarters, songs = [], [], []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.mid")):
            try:
                midi = read_midi(path.read_bytes(), Limits())
            except BadInput:
                continue
            length = stated(midi)
            notes = pitched_notes(midi)
            if length in METERS and says_enough(notes):
                rows.append(features(notes))
                quarters.append(int(length))
                songs.append(f"{path.parent.name}/{re.split(r'[.]', path.name)[0]}")
    return Corpus(name, np.array(rows), np.array(quarters), np.array(songs))


def stated(midi: MidiFile) -> Fraction | None:
    """Quarters a bar of a file with one meter, else None."""
    meters = {
        (numerator, denominator) for _, numerator, denominator in midi.time_signatures
    }
    if len(meters) != 1:
        return None
    ((numerator, denominator),) = meters
    return Fraction(4 * numerator, denominator) if denominator else None


def fitted(values: np.ndarray, quarters: np.ndarray, weight: np.ndarray):
    """Scaler and model."""
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=0.1, max_iter=5000)
    return scaler, model.fit(scaler.transform(values), quarters, sample_weight=weight)


def weights_of(corpora: list[Corpus]) -> np.ndarray:
    """Each corpus weighs the same, the mean weight 1."""
    each = [np.full(len(one.quarters), 1 / len(one.quarters)) for one in corpora]
    weight = np.concatenate(each)
    return weight / weight.mean()


def held_out(corpora: list[Corpus]) -> list[np.ndarray]:
    """Out-of-fold probabilities of each corpus, float64[songs, 3]."""
    values = np.concatenate([one.values for one in corpora])
    quarters = np.concatenate([one.quarters for one in corpora])
    songs = np.concatenate([one.song for one in corpora])
    weight = weights_of(corpora)
    likely = np.zeros((len(values), len(QUARTERS)))
    for teach, test in GroupKFold(5).split(values, quarters, songs):
        scaler, model = fitted(values[teach], quarters[teach], weight[teach])
        likely[test] = model.predict_proba(scaler.transform(values[test]))
    return np.split(likely, [len(corpora[0].quarters)])


def show(one: Corpus, likely: np.ndarray) -> None:
    """Right meters by threshold, beside 4/4 always, with an interval over songs."""
    always = one.quarters == 4
    best, sure = QUARTERS[likely.argmax(axis=1)], likely.max(axis=1)
    counts = {int(length): int((one.quarters == length).sum()) for length in QUARTERS}
    print(f"\n{one.name}: {len(always)} files of {len(set(one.song))} songs, {counts}")
    print(f"4/4 always {always.mean():.3f}; estimate where surer than")
    for least in THRESHOLDS:
        said = np.where((best != 4) & (sure < least), 4, best)
        right = said == one.quarters
        low, high = interval(right.astype(float) - always, one.song)
        other = said != 4
        print(
            f"  {least:.1f}  {right.mean():.3f}  gain {right.mean() - always.mean():+.3f} "
            f"[{low:+.3f}, {high:+.3f}]  {other.sum()} not in 4/4, {right[other].mean():.3f} of them right"
        )
    gaps = [
        abs((best == one.quarters)[bin_].mean() - sure[bin_].mean()) * bin_.mean()
        for bin_ in (np.floor(sure * 10) == tenth for tenth in range(11))
        if bin_.any()
    ]
    print(f"  expected calibration error {sum(gaps):.3f}")


def interval(gain: np.ndarray, songs: np.ndarray) -> tuple[float, float]:
    """95 % of 1,000 draws of songs."""
    _, number = np.unique(songs, return_inverse=True)
    total, count = np.bincount(number, gain), np.bincount(number)
    random = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        drawn = random.integers(0, len(total), len(total))
        means.append(total[drawn].sum() / count[drawn].sum())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def across(one: Corpus, other: Corpus) -> None:
    """Taught on one corpus, tried on the other."""
    for teach, test in ((one, other), (other, one)):
        scaler, model = fitted(teach.values, teach.quarters, np.ones(len(teach.quarters)))
        right = model.predict(scaler.transform(test.values)) == test.quarters
        print(f"taught on {teach.name}, {test.name}: {right.mean():.3f}")


def write(corpora: list[Corpus]) -> None:
    """The table of the package, to four places."""
    values = np.concatenate([one.values for one in corpora])
    quarters = np.concatenate([one.quarters for one in corpora])
    scaler, model = fitted(values, quarters, weights_of(corpora))
    rows = [("bias", 0.0, 1.0, *model.intercept_)]
    columns = zip(feature_names(), scaler.mean_, scaler.scale_, model.coef_.T, strict=True)
    rows += [(name, middle, spread, *weights) for name, middle, spread, weights in columns]
    lines = [
        f'    ("{name}", {", ".join(f"{value:.4f}" for value in numbers)}),'
        for name, *numbers in rows
    ]
    text = f'''"""Weights of the meter estimate: written by tests/bench/fit_meter.py, not by hand.

Fitted on {len(quarters):,} MIDI files of one stated meter. A row a feature: its name, its middle and
spread over the files, and its weight for bars of {", ".join(map(str, METERS))} quarters.
"""

WEIGHTS: tuple[tuple[str, float, float, float, float, float], ...] = (
{chr(10).join(lines)}
)  # fmt: skip
'''
    Path(meter_estimate.__file__).with_name("meter_weights.py").write_text(text)


if __name__ == "__main__":
    main()
