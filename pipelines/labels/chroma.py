"""Whether a recording sounds like a song: the chroma of its notes against MSD's chroma of
the audio, aligned in time.

MSD gives, for each segment of about a quarter of a second, how strong each pitch class is
(`segments_pitches`, `segments_start`). Both sides are resampled to frames over their whole
length and aligned by dynamic time warping near the diagonal. The fit is the likeness along
the best path less what the same song reaches in the eleven other keys: likeness alone
rewards dense music. Two recordings of one song in another key do not fit; LMD matched
without transposition, so a right match need not be looked for there.
"""

import numpy as np

from schemas.song import DRUMS, Song, seconds_at

FRAMES = 150
# How far from the diagonal a path may go, as a share of the length; beyond it other songs
# begin to fit.
BAND = 0.12
N_CLASSES = 12


def chroma_fit(song: np.ndarray, track: np.ndarray) -> float:
    """How much better a song fits a track in its own key than in others: about 0 for
    strangers, .3 to .8 for the same.

    song, track: (FRAMES, 12) chroma of note_chroma and segment_chroma. NaN where one of
    them is silent throughout.
    """
    one, other = _unit(song), _unit(track)
    if not one.any() or not other.any():
        return float("nan")
    transposed = np.stack([np.roll(one, shift, axis=1) for shift in range(N_CLASSES)])
    likeness = _aligned(transposed @ other.T)
    return float(likeness[0] - np.median(likeness[1:]))


def note_chroma(song: Song) -> np.ndarray:
    """(FRAMES, 12) seconds times velocity that each pitch class sounds in each frame,
    drums left out."""
    notes = song.notes[song.notes["track"] != DRUMS]
    if not len(notes):
        return np.zeros((FRAMES, N_CLASSES))
    starts = seconds_at(song.tempi, notes["start"].astype(np.int64))
    ends = seconds_at(song.tempi, (notes["start"] + notes["duration"]).astype(np.int64))
    edges = np.linspace(0.0, ends.max(), FRAMES + 1)
    total = np.zeros((FRAMES + 1, N_CLASSES))
    for pitch_class in range(N_CLASSES):
        of = notes["pitch"] % N_CLASSES == pitch_class
        weight = notes["velocity"][of].astype(np.float64)
        # Sound heard up to an edge: of each note begun by then, the time since, less the
        # time since its end.
        total[:, pitch_class] = _heard(edges, starts[of], weight) - _heard(
            edges, ends[of], weight
        )
    return np.maximum(np.diff(total, axis=0), 0.0)


def segment_chroma(starts: np.ndarray, pitches: np.ndarray, seconds: float) -> np.ndarray:
    """(FRAMES, 12) mean strength of each pitch class in each frame; starts: (n,) seconds,
    pitches: (n, 12) 0-1."""
    ends = np.append(starts[1:], max(seconds, float(starts[-1])))
    sums = np.concatenate(
        [np.zeros((1, N_CLASSES)), np.cumsum(pitches * (ends - starts)[:, None], axis=0)]
    )
    edges = np.linspace(0.0, ends[-1], FRAMES + 1)
    at = np.append(starts, ends[-1])
    return np.diff(
        np.stack([np.interp(edges, at, column) for column in sums.T], axis=1), axis=0
    )


def _heard(edges: np.ndarray, times: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """At each edge, the sum of weight times the seconds since, over the times that have
    passed."""
    order = np.argsort(times, kind="stable")
    times, weight = times[order], weight[order]
    begun = np.searchsorted(times, edges, side="right")
    weights = np.concatenate([[0.0], np.cumsum(weight)])
    moments = np.concatenate([[0.0], np.cumsum(weight * times)])
    return weights[begun] * edges - moments[begun]


def _unit(chroma: np.ndarray) -> np.ndarray:
    """Frames without their mean, of length 1: what all pitch classes share says nothing;
    silence stays 0."""
    centred = chroma - chroma.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _aligned(likeness: np.ndarray) -> np.ndarray:
    """Mean likeness along the best warping path of each of (k, n, n) matrices.

    Symmetric steps (Sakoe & Chiba 1978): a diagonal step counts twice, so all paths weigh
    2n. All matrices go along an anti-diagonal at a time.
    """
    n = likeness.shape[1]
    cost = np.full((likeness.shape[0], n + 1, n + 1), np.inf)
    cost[:, 0, 0] = 0.0
    reach = round(n * BAND)
    for diagonal in range(2, 2 * n + 1):
        first, last = (
            max(1, diagonal - n, (diagonal - reach + 1) // 2),
            min(n, diagonal - 1, (diagonal + reach) // 2),
        )
        row = np.arange(first, last + 1)
        column = diagonal - row
        here = 1.0 - likeness[:, row - 1, column - 1]
        beside = np.minimum(cost[:, row - 1, column], cost[:, row, column - 1]) + here
        cost[:, row, column] = np.minimum(cost[:, row - 1, column - 1] + 2 * here, beside)
    return 1.0 - cost[:, n, n] / (2 * n)
