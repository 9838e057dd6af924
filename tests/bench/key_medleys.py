"""Pieces that change their key, made of pieces of one key, for key_accuracy.py: the corpora
have too few that modulate."""

from dataclasses import replace

import numpy as np
from key_corpora import Case

from pipelines.features.key.bass import Bass, phrase_starts
from pipelines.features.key.reading import Reading, lowered, raised_keys

# How far the second half of a song goes up in pop.
POP_STEPS = (1, 2, 3, 5, 7, 10)


def medleys(tunes: list[Case], modulating: list[Case], n: int, seed: int) -> list[Case]:
    """Tunes strung together, 16 or 32 bars of each, the second moved to a key as far away as a
    modulating tune goes; half of them return to the first."""
    rng = np.random.default_rng(seed)
    long_enough = [
        tune for tune in tunes if len(tune.bars) >= tune.reading.bass.first_bar + 16
    ]
    by_mode = [[tune for tune in long_enough if tune.song // 12 == mode] for mode in (0, 1)]
    moves = real_moves(modulating)
    made = []
    for number in range(n):
        first, second, raised = pair(by_mode, moves, rng)
        parts = [(first, 0), (second, raised)]
        if rng.random() < 0.5:
            parts.append((first, 0))
        pieces = []
        for tune, semitones in parts:
            start = tune.reading.bass.first_bar
            whole_phrases = (len(tune.bars) - start) // 8 * 8
            length = min(16 * int(rng.integers(1, 3)), whole_phrases)
            pieces.append(excerpt(tune, start, start + length, semitones))
        made.append(joined(f"medley {number}", first.work, pieces))
    return made


def pair(
    by_mode: list[list[Case]], moves: list[tuple[int, int, int]], rng: np.random.Generator
) -> tuple[Case, Case, int]:
    """Two tunes and by how many semitones the second is raised, to be as far from the first
    as a modulating tune goes."""
    up, mode, next_mode = moves[rng.integers(len(moves))]
    first = by_mode[mode][rng.integers(len(by_mode[mode]))]
    second = by_mode[next_mode][rng.integers(len(by_mode[next_mode]))]
    return first, second, (first.song + up - second.song) % 12


def joined_halves(
    tunes: list[Case], modulating: list[Case], n: int, seed: int
) -> list[Case]:
    """The first half of one tune and the second of another, as far away as a modulating tune
    goes."""
    rng = np.random.default_rng(seed)
    by_mode = [[tune for tune in tunes if tune.song // 12 == mode] for mode in (0, 1)]
    moves = real_moves(modulating)
    made = []
    for number in range(n):
        first, second, raised = pair(by_mode, moves, rng)
        pieces = [
            excerpt(first, 0, len(first.bars) // 2, 0),
            excerpt(second, len(second.bars) // 2, len(second.bars), raised),
        ]
        made.append(joined(f"halves {number}", first.work, pieces))
    return made


def raised_halves(songs: list[Case], n: int, seed: int) -> list[Case]:
    """Songs whose second half goes up, as many a pop song does."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        song = songs[rng.integers(len(songs))]
        middle, end = len(song.bars) // 2, len(song.bars)
        up = int(rng.choice(POP_STEPS))
        pieces = [excerpt(song, 0, middle, 0), excerpt(song, middle, end, up)]
        made.append(joined(f"raised {number}", song.work, pieces))
    return made


def real_moves(modulating: list[Case]) -> list[tuple[int, int, int]]:
    """(semitones up, mode before, mode after) of every change of key."""
    moves = []
    for case in modulating:
        for at in np.flatnonzero(np.diff(case.bars)) + 1:
            before, after = int(case.bars[at - 1]), int(case.bars[at])
            moves.append((after % 12 - before % 12, before // 12, after // 12))
    return moves


def excerpt(case: Case, start: int, end: int, up: int) -> tuple[Reading, np.ndarray]:
    """The reading and the keys of some bars of a piece, `up` semitones higher."""
    reading = lowered(case.reading, -up)
    inside = slice(start, end)
    bass = replace(
        reading.bass,
        opening=reading.bass.opening[inside],
        closing=reading.bass.closing[inside],
    )
    bars = Reading(reading.weights[inside], bass, reading.phrase_start[inside])
    return bars, raised_keys(up)[case.bars[inside]]


def joined(name: str, work: str, pieces: list[tuple[Reading, np.ndarray]]) -> Case:
    """Excerpts one after the other as one piece, whose phrases are counted from its first
    bar."""
    readings = [reading for reading, _ in pieces]
    opening = np.concatenate([reading.bass.opening for reading in readings])
    closing = np.concatenate([reading.bass.closing for reading in readings])
    bass = Bass(
        opening,
        closing,
        first=int(opening[np.argmax(opening < 12)]),
        last=int(closing[closing < 12][-1]),
        polyphonic=readings[0].bass.polyphonic,
        first_bar=0,
    )
    weights = np.concatenate([reading.weights for reading in readings])
    truth = np.concatenate([keys for _, keys in pieces])
    return Case(name, work, Reading(weights, bass, phrase_starts(bass)), truth, None)
