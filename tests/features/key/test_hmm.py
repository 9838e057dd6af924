"""Hidden Markov chains, against every path of tiny ones."""

from itertools import product

import numpy as np
import pytest

from pipelines.features.key.hmm import posterior, viterbi


def chain(
    seed: int, n_steps: int, n_states: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence, two tables of moves, and which one leads into each step."""
    rng = np.random.default_rng(seed)
    moves = rng.random((2, n_states, n_states)) + 0.01
    return (
        rng.normal(size=(n_steps, n_states)) * 2,
        moves / moves.sum(axis=2, keepdims=True),
        rng.integers(0, 2, n_steps),
    )


def log_scores(
    evidence: np.ndarray, moves: np.ndarray, table: np.ndarray
) -> dict[tuple[int, ...], float]:
    """The log-probability of every path, one by one."""
    n_steps, n_states = evidence.shape
    return {
        path: sum(evidence[i, state] for i, state in enumerate(path))
        + sum(np.log(moves[table[i], path[i - 1], path[i]]) for i in range(1, n_steps))
        for path in product(range(n_states), repeat=n_steps)
    }


@pytest.mark.parametrize("n_steps", [1, 2, 6])
@pytest.mark.parametrize("seed", range(8))
def test_viterbi_finds_the_best_of_all_paths(seed, n_steps):
    evidence, moves, table = chain(seed, n_steps)
    before = evidence.copy()
    scores = log_scores(evidence, moves, table)
    assert tuple(viterbi(evidence, np.log(moves), table)) == max(scores, key=scores.get)
    np.testing.assert_array_equal(evidence, before)


@pytest.mark.parametrize("n_steps", [1, 2, 6])
@pytest.mark.parametrize("seed", range(8))
def test_posterior_is_the_share_of_all_paths(seed, n_steps):
    evidence, moves, table = chain(seed, n_steps)
    expected = np.zeros_like(evidence)
    for path, score in log_scores(evidence, moves, table).items():
        expected[np.arange(n_steps), path] += np.exp(score)
    found = posterior(evidence, moves, table)
    np.testing.assert_allclose(
        found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-10
    )
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_long_chains_neither_overflow_nor_vanish():
    evidence, moves, table = chain(0, 20_000)
    found = posterior(evidence * 200, moves, table)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    # With such evidence there is hardly a doubt, so that the best path and the likeliest
    # states are one.
    np.testing.assert_array_equal(
        viterbi(evidence * 200, np.log(moves), table)[:100], found.argmax(axis=1)[:100]
    )
