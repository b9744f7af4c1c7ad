"""Edits of a chain, and the moves that a search space offers: kinds, weights, and the order in which to try them."""

from typing import NamedTuple

import numpy as np

from cola_search.chain import Chain
from cola_search.priors import REPEAT, SKIP
from cola_search.search_settings import SearchSettings


class Edit(NamedTuple):
    """One edit of a block of `size` layers, after which the block runs `runs` times: 0 is a skip, 2 one extra run."""

    size: int
    runs: int

    @property
    def delta(self) -> int:
        """How many positions longer the edit makes a chain."""
        return self.size * (self.runs - 1)


class Moves(NamedTuple):
    """The legal moves of a state, in the order in which to try them.

    ids: [M], a move is place * K + kind, for K kinds of edit; prior: [M] probabilities, which sum to 1 when all are new.
    age: that of the history that the order was made with.
    """

    ids: np.ndarray
    prior: np.ndarray
    age: int = 0

    def reordered(self, fresh: "Moves", tried: int) -> "Moves":
        """The first `tried` moves as they are, and the others in the order and with the priors of `fresh`."""
        new = np.ones(1 + max(self.ids.max(), fresh.ids.max()), bool)
        new[self.ids[:tried]] = False
        left = new[fresh.ids]
        ids, prior = np.append(self.ids[:tried], fresh.ids[left]), np.append(self.prior[:tried], fresh.prior[left])
        return Moves(ids, prior, fresh.age)

    def with_next(self, rank: int, other: int) -> "Moves":
        """A copy in which the move of rank `other` comes at `rank`, with the ones between them moved back by one."""
        order = np.arange(len(self.ids))
        order[rank : other + 1] = np.roll(order[rank : other + 1], 1)
        return self._replace(ids=self.ids[order], prior=self.prior[order])


NO_MOVES = Moves(np.empty(0, np.int64), np.empty(0))


class State(NamedTuple):
    """A point of a search space: a whole chain, and what may still be done to it.

    chain: the chain that is scored. edits: how many edits made it.
    position, layer: partial space: the first undecided position of the chain, and its layer; L if none is left.
    frozen: edits space without nesting: per position, whether an edit made it; else ().
    before, block: the chain that the last edit was made to, and the layers that it touched; none for a root or a menu's chain.
    """

    chain: Chain
    edits: int = 0
    position: int = 0
    layer: int = 0
    frozen: tuple[bool, ...] = ()
    before: tuple[int, ...] = ()
    block: tuple[int, ...] = ()


def edit_kinds(settings: SearchSettings) -> tuple[Edit, ...]:
    """Every kind of edit: skips of 1 to max_block layers, then repeats of blocks by 1 to max_extra_runs extra runs."""
    skips = [Edit(size, 0) for size in range(1, settings.max_block + 1)]
    largest = settings.max_repeat_block or settings.max_block
    repeats = [
        Edit(size, 1 + extra) for size in range(1, largest + 1) for extra in range(1, settings.max_extra_runs + 1)
    ]
    return tuple(skips + repeats)


def edit_weights(table: np.ndarray, kinds: tuple[Edit, ...], bounded: bool = True) -> np.ndarray:
    """Probability of each kind of edit at each layer, [L, K]: the table's skip and repeat, split over the kinds.

    Within skips (and within repeats) a block weighs as much as the geometric mean of its layers' probabilities, so a
    block over layers that are often skipped is preferred, and a uniform table splits evenly. The sum over the kinds of
    a row stays what the table says. bounded: blocks must end within the model.
    """
    weights = np.zeros((len(table), len(kinds)))
    for column in (SKIP, REPEAT):
        members = [j for j, kind in enumerate(kinds) if (kind.runs == 0) == (column == SKIP)]
        for j in members:
            weights[:, j] = _block_mean(table[:, column], kinds[j].size, bounded)
        total = weights[:, members].sum(axis=1, keepdims=True)
        weights[:, members] *= np.divide(table[:, [column]], total, out=np.zeros_like(total), where=total > 0)
    return weights


def _block_mean(share: np.ndarray, size: int, bounded: bool) -> np.ndarray:
    """Geometric mean of share[l : l + size] for each layer l, [L]; past the end 0 if bounded, else the last layer's."""
    padded = np.concatenate([share, np.full(size, 0.0 if bounded else share[-1])])
    product: np.ndarray = np.prod([padded[j : j + len(share)] for j in range(size)], axis=0)
    return np.power(product, 1 / size)


class ChainWeights:
    """What a table makes of each kind of edit at each position of a chain; see edit_weights.

    Blocks are of the layers that the chain holds there, which an earlier edit may have brought together.
    """

    def __init__(self, table: np.ndarray, kinds: tuple[Edit, ...]) -> None:
        self._share = table[:, [SKIP, REPEAT]].T.copy()  # [2, L]
        sizes, row = np.array([kind.size for kind in kinds]), np.array([int(kind.runs > 0) for kind in kinds])
        self._largest = int(sizes.max())
        self._mean, self._row = sizes - 1, row
        self._members = np.zeros((self._largest, 2, 1))  # kinds of each size
        np.add.at(self._members, (self._mean, row), 1)
        self._power = 1 / np.arange(1.0, self._largest + 1)[:, None, None]
        # Alike rows are weighed once: so their blocks are exactly alike, which roots of products are not.
        self._alike = edit_weights(table, kinds, bounded=False) if (table == table[0]).all() else None

    def of(self, chain: Chain) -> np.ndarray:
        """[length, K]; past the end of the chain a block goes on with its last layer."""
        layers, length = list(chain), len(chain)
        if self._alike is not None:
            weights: np.ndarray = self._alike[layers]
            return weights
        share = self._share[:, layers + layers[-1:] * (self._largest - 1)]
        blocks = np.empty((self._largest, 2, length))  # products, then means, of the shares of each size of block
        blocks[0] = share[:, :length]
        for size in range(1, self._largest):
            np.multiply(blocks[size - 1], share[:, size : size + length], out=blocks[size])
        np.power(blocks, self._power, out=blocks)
        total = (blocks * self._members).sum(axis=0)
        blocks *= np.divide(share[:, :length], total, out=np.zeros_like(total), where=total > 0)
        return blocks[self._mean, self._row].T


def shortest_length(state: State, skippable: np.ndarray, settings: SearchSettings) -> int:
    """A lower bound on the length of the legal chains made from this state, by the caps and the layers that no edit may skip.

    skippable: [L], whether a layer may be skipped.
    """
    loose = int(skippable[list(state.chain[state.position :])].sum())
    if settings.max_edits is not None:
        loose = min(loose, (settings.max_edits - state.edits) * settings.max_block)
    return max(settings.min_length, len(state.chain) - loose)


def edited(chain: Chain, start: int, size: int, runs: int) -> Chain:
    """The chain in which the block of `size` positions at `start` runs `runs` times (a chain that is not empty)."""
    end = start + size
    return tuple.__new__(Chain, chain[:start] + chain[start:end] * runs + chain[end:])  # its layers were checked before


def draw_order(weights: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Indices in the order in which to try moves with these weights, [M].

    Temperature 1 draws without replacement by weight (the Gumbel-top-k trick, arxiv.org/abs/1903.06059); 0 puts the
    highest weight first, and equal ones in random order; between them, nearly equal weights mix.
    """
    if temperature == 0:
        return np.lexsort((rng.random(len(weights)), -weights))
    return np.argsort(-(np.log(weights) + temperature * rng.gumbel(size=len(weights))))
