"""What edits did to the margin so far in one search, and what to expect of the next one: the history heuristic."""

import math
from collections.abc import Sequence

import numpy as np

from cola_search.chain import Chain
from cola_search.moves import Edit, State
from cola_search.outcome import Score

CLIP = 10.0  # nats; a margin beyond this says no more than that a chain is right, or wrong
# What is expected of a layer before it is edited, the mean over all layers, counts as so many edits of it.
STRENGTH = 1.0
LEARNT_STRENGTH = 3.0  # the same where earlier samples taught what to expect
ERROR = 3.0  # nats; how far off an expected margin is taken to be at first
ERROR_STRENGTH = 4.0  # as many edits as that counts for
LEAST = 1e-100  # the least weight of a move: with 0 it would be no move, and its node could count as exhausted


def clipped(margin: float) -> float:
    """The margin within what it can say; nan stays."""
    return min(max(margin, -CLIP), CLIP)


class History:
    """Mean change of the margin that skips, and repeats, of each layer brought in this search.

    The tree keeps what a chain is worth; this keeps what an edit is worth, whatever chain it was tried on, for what broke
    the answer of one chain most likely breaks that of the next. The change that an edit brought is split evenly among the layers
    of its block, and the changes of several layers are taken to add up. How wrong that turned out to be is kept as well, so that
    where answers are luck all moves weigh about the same.
    Source: the history heuristic (Schaeffer, IEEE PAMI 11(11), 1989) and RAVE (Gelly and Silver, Artificial
    Intelligence 175(11), 2011). Differs from both: margins in the place of counts, and layers in the place of moves.

    power: of the chance of a right answer in the weight of a move; 0: every move weighs 1, and nothing is learnt.
    changes: [2, L] what skips, and repeats, of each layer did in earlier samples beyond those of other layers (lessons.py).
    """

    def __init__(self, num_layers: int, kinds: Sequence[Edit], power: float, changes: np.ndarray | None = None) -> None:
        self._before = np.zeros((2, num_layers)) if changes is None else changes
        self._strength = STRENGTH if changes is None else LEARNT_STRENGTH
        self._sizes = np.array([kind.size for kind in kinds])
        self._row = np.array([int(kind.runs > 0) for kind in kinds])
        self._saved = np.array([max(1, -kind.delta) for kind in kinds])
        self._power = power
        self._sum = np.zeros((2, num_layers))  # of skips, of repeats
        self._count = np.zeros((2, num_layers))
        self._squared_error, self._tries = ERROR**2 * ERROR_STRENGTH, ERROR_STRENGTH
        self._known_bounds: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._margins: dict[tuple[int, ...], float] = {}
        self._right: set[tuple[int, ...]] = set()

    @property
    def age(self) -> int:
        """A number that grows with what is known; 0 for good without power."""
        return len(self._margins)

    def learn(self, state: State, score: Score) -> None:
        """Takes in a chain and what the edit that made it did. An error, or no margin, teaches nothing."""
        if not self._power or score.error is not None or math.isnan(score.margin):
            return
        margin = self._margins[state.chain] = clipped(score.margin)
        if score.correct:
            self._right.add(state.chain)
        before = self._margins.get(state.before)
        if before is not None:
            self._learn_edit(int(len(state.chain) > len(state.before)), list(state.block), before, margin)

    def _learn_edit(self, row: int, block: list[int], before: float, after: float) -> None:
        expected = max(-CLIP, before + self._each()[row, block].sum())
        self._squared_error += (expected - after) ** 2
        self._tries += 1
        np.add.at(self._sum[row], block, (after - before) / len(block))
        np.add.at(self._count[row], block, 1)

    def weights(self, chain: Chain, layers: Sequence[int]) -> np.ndarray:
        """What each kind of edit that begins at each of these layers weighs as the next edit of the chain, [layers, K].

        The chance of a right answer, to the power of the settings, and from a right chain times the layers saved. 1 where
        nothing is known of the chain.
        """
        if chain not in self._margins:
            return np.ones((len(layers), len(self._sizes)))
        expected = np.maximum(-CLIP, self._margins[chain] + self._changes(layers))
        error = math.sqrt(self._squared_error / self._tries)
        weights = np.maximum((1 + np.exp(-expected / error)) ** -self._power, LEAST)
        return weights * self._saved if chain in self._right else weights

    def _changes(self, layers: Sequence[int]) -> np.ndarray:
        """The change of the margin to expect of each kind of edit that begins at each place of `layers`, [layers, K]."""
        total = np.zeros((2, len(layers) + 1))  # before each place
        np.cumsum(self._each()[:, list(layers)], axis=1, out=total[:, 1:])
        starts, ends = self._bounds(len(layers))
        changes: np.ndarray = total.take(ends) - total.take(starts)
        return changes

    def _bounds(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each kind of edit that begins at each of so many places begins and ends in a flat [2, length + 1], [length, K]."""
        if length not in self._known_bounds:
            starts, row = np.arange(length)[:, None], self._row * (length + 1)
            self._known_bounds[length] = starts + row, np.minimum(starts + self._sizes, length) + row
        return self._known_bounds[length]

    def _each(self) -> np.ndarray:
        """The change of the margin to expect of a skip, and of a repeat, of each layer, [2, L]."""
        beyond = self._sum - self._count * self._before
        mean = beyond.sum(axis=1, keepdims=True) / np.maximum(self._count.sum(axis=1, keepdims=True), 1) + self._before
        each: np.ndarray = (self._sum + self._strength * mean) / (self._count + self._strength)
        return each
