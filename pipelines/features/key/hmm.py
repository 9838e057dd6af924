"""Hidden Markov chains: the likeliest path, and how likely each state is at each step.

The state moves by one of several tables, told step by step (`table[i]` is the move into
step i; `table[0]` is not read), and every state is as likely as any other at the start.
Evidence is log-likelihood up to a constant a step.
"""

import numpy as np


def viterbi(evidence: np.ndarray, log_moves: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Likeliest path (Viterbi 1967): int64[n_steps]; of equals the lowest state, from the
    end backwards.

    evidence: float64[n_steps, n_states]; log_moves: float64[n_tables, n_states from,
    n_states to]; table: int[n_steps].
    """
    best = np.array(evidence)
    moves = [log_moves[i] for i in table]
    reach = np.empty(log_moves.shape[1:])
    into = np.empty(evidence.shape[1])
    # `best` becomes the score of the best path that ends in each state; each row still
    # holds its own evidence.
    for row, before, move in zip(best[1:], best, moves[1:], strict=False):
        np.add(before[:, None], move, out=reach)
        np.maximum.reduce(reach, axis=0, out=into)
        row += into
    path = np.empty(len(evidence), np.int64)
    state = int(best[-1].argmax())
    path[-1] = state
    for i in range(len(path) - 1, 0, -1):
        reached = best[i - 1] + moves[i][:, state]
        state = int(reached.argmax())
        path[i - 1] = state
    return path


def posterior(evidence: np.ndarray, moves: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Probability of each state at each step given all evidence (forward-backward):
    float64[n_steps, n_states].

    Shapes as for `viterbi`, but moves are probabilities; rows add up to one.
    """
    highest = evidence.max(axis=1, keepdims=True)
    likelihood = np.exp(evidence - highest)
    ones = np.ones(evidence.shape[1])
    steps = [moves[i] for i in table]
    # A product with ones is the quickest sum of so short a row.
    forward = likelihood.copy()
    forward[0] /= forward[0].sum()
    for row, before, step in zip(forward[1:], forward, steps[1:], strict=False):
        row *= before.dot(step)
        row /= row.dot(ones)
    backward = np.ones_like(likelihood)
    for i in range(len(steps) - 1, 0, -1):
        ahead = likelihood[i] * backward[i]
        row = steps[i].dot(ahead)
        backward[i - 1] = row / row.dot(ones)
    both = forward * backward
    total = both.sum(axis=1, keepdims=True)
    return both / total
