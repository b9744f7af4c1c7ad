"""What may be done next to a chain: the two search spaces, with the priors and caps of their moves."""

from collections.abc import Hashable

import numpy as np

from cola_search.chain import Chain
from cola_search.history import History
from cola_search.moves import (
    NO_MOVES,
    ChainWeights,
    Moves,
    State,
    draw_order,
    edit_kinds,
    edit_weights,
    edited,
    shortest_length,
)
from cola_search.priors import SKIP
from cola_search.search_settings import SearchSettings


class _Edits:
    """What both spaces are made of: the kinds of edit, the caps, and which layers a table lets them skip."""

    def __init__(self, num_layers: int, table: np.ndarray, settings: SearchSettings, rng: np.random.Generator) -> None:
        self.kinds = edit_kinds(settings)
        self.history = History(num_layers, self.kinds, settings.history)
        self._num_layers = num_layers
        self._settings = settings
        self._rng = rng
        self._longest = settings.longest(num_layers)
        self._deltas = np.array([kind.delta for kind in self.kinds])
        self._skippable = table[:, SKIP] > 0

    def floor(self, state: State) -> int:
        """A lower bound on the length of the chains that moves lead to from here."""
        return shortest_length(state, self._skippable, self._settings)


class PartialSpace(_Edits):
    """The space of partial chains: a move is "append the next m layers, then edit the block at the layer after them".

    The prior of a move is the hazard: the product of keeping those m layers and of editing the one after. Runs of
    appends are part of the move, hence depth counts edits and not layers. A state is scored as the chain that plain
    appends complete.

    Whole chains drawn by the hazard have no positional bias. A tree of a few hundred nodes is no such draw: it holds
    mostly chains of one and two edits, so a hazard made for several would put nearly all of them into the first layers.
    The hazard of the moves is therefore scaled to one expected edit in the whole model. With temperature 1 the search
    then spreads its edits evenly at any budget (tested); with temperature 0 it takes early layers first within that.
    """

    def __init__(self, num_layers: int, table: np.ndarray, settings: SearchSettings, rng: np.random.Generator) -> None:
        super().__init__(num_layers, table, settings, rng)
        edits = edit_weights(table, self.kinds)
        scale = 1 / max(1.0, edits.sum())  # to one expected edit in the whole model
        kept = np.concatenate([[1.0], np.cumprod(1 - edits.sum(axis=1))[:-1]]) ** scale
        self._weights = (kept[:, None] * edits / self._costs() ** settings.cost_exponent).ravel()
        self._order = draw_order(self._weights, 0, rng)
        self._order = self._order[self._weights[self._order] > 0]
        self._cache: dict[tuple[int, int, int], Moves] = {}

    def _costs(self) -> np.ndarray:
        """Layer executions of each edit at each layer if the prefix before the edit is shared, plus 1 for the head."""
        after = self._num_layers - np.arange(self._num_layers)[:, None] - np.array([kind.size for kind in self.kinds])
        return np.maximum(after, 0) + np.maximum(self._deltas, 0) + 1.0

    def root(self) -> State:
        """The identity chain with every layer still to decide on."""
        return State(Chain.identity(self._num_layers))

    def planted(self, chain: Chain) -> State:
        """The state of a chain from elsewhere: decided up to the plain appends at its end."""
        position, layer = len(chain), self._num_layers
        while position > 0 and chain[position - 1] == layer - 1:
            position, layer = position - 1, layer - 1
        return State(chain, self._settings.max_edits or 1, position, layer)

    def key(self, state: State) -> Hashable:
        """Equal for states below which the same chains lie."""
        return state.chain, state.layer, self._settings.max_edits and state.edits

    def rank(self, state: State) -> int:
        """A number that every move makes larger."""
        return state.layer

    def moves(self, state: State) -> Moves:
        """The legal moves of a state: every one leads to a chain inside the caps."""
        limit = self._settings.max_edits
        if limit is not None and state.edits >= limit:
            return NO_MOVES
        up = min(self._longest - len(state.chain), int(self._deltas.max()))
        down = min(len(state.chain) - self._settings.min_length, self._settings.max_block)
        key = (state.layer, up, down)
        if self._settings.history:
            return self._ordered_moves(*key, self.history.weights(state.chain, range(self._num_layers)).ravel())
        if key not in self._cache or self._settings.temperature:
            self._cache[key] = self._ordered_moves(*key)
        return self._cache[key]

    def _ordered_moves(self, layer: int, up: int, down: int, learnt: np.ndarray | None = None) -> Moves:
        legal = (self._deltas <= up) & (self._deltas >= -down)
        ids = self._order[self._order >= layer * len(self.kinds)]
        ids = ids[legal[ids % len(self.kinds)]]
        weights = self._weights[ids] if learnt is None else self._weights[ids] * learnt[ids]
        if self._settings.temperature or learnt is not None:
            drawn = draw_order(weights, self._settings.temperature, self._rng)
            ids, weights = ids[drawn], weights[drawn]
        return Moves(ids, weights / weights.sum(), self.history.age)

    def child(self, state: State, move: int) -> State:
        """The state that a move leads to."""
        layer, kind = divmod(move, len(self.kinds))
        size, runs = self.kinds[kind]
        start = state.position + layer - state.layer
        chain = edited(state.chain, start, size, runs)
        block = state.chain[start : start + size]
        return State(chain, state.edits + 1, start + size * runs, layer + size, before=state.chain, block=block)


class EditsSpace(_Edits):
    """The papers' space: a move edits a block anywhere in the whole chain, so edits come in any order.

    Source: CoLa (arxiv.org/abs/2507.07996, section 3). Blocks are blocks of positions, so the edits of an edited chain
    can reorder layers, unless `nested` is off: then no edit touches what an earlier repeat made, or spans what an earlier
    skip took out (RE-PoLar, arxiv.org/abs/2609.31360, code). Chains that several orders of edits lead to are one state.
    """

    def __init__(self, num_layers: int, table: np.ndarray, settings: SearchSettings, rng: np.random.Generator) -> None:
        super().__init__(num_layers, table, settings, rng)
        self._sizes = np.array([kind.size for kind in self.kinds])
        self._weights = ChainWeights(table, self.kinds)
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def root(self) -> State:
        """The identity chain."""
        return State(
            Chain.identity(self._num_layers), frozen=() if self._settings.nested else (False,) * self._num_layers
        )

    def planted(self, chain: Chain) -> State:
        """The state of a chain from elsewhere: without nesting, layers that it repeats are frozen."""
        frozen = () if self._settings.nested else tuple(chain.count(layer) > 1 for layer in chain)
        return State(chain, self._settings.max_edits or 1, frozen=frozen)

    def key(self, state: State) -> Hashable:
        """Equal for states with the same chain, and as many edits left where these are limited."""
        return state.chain, self._settings.max_edits and state.edits

    def rank(self, state: State) -> int:
        """A number that every move makes larger."""
        return state.edits

    def moves(self, state: State) -> Moves:
        """The legal moves of a state: every one leads to a chain inside the caps."""
        limit = self._settings.max_edits
        if limit is not None and state.edits >= limit:
            return NO_MOVES
        inside, cost = self._by_length(len(state.chain))
        weights = self._weights.of(state.chain) * (inside & self._unfrozen(state) if state.frozen else inside)
        if self._settings.history:
            weights *= self.history.weights(state.chain, state.chain)
        flat = (weights / cost).ravel()
        ids = np.flatnonzero(flat)
        chosen = flat[ids]
        order = draw_order(chosen, self._settings.temperature, self._rng)
        return Moves(ids[order], chosen[order] / chosen.sum(), self.history.age)

    def _by_length(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Which edits at which position of a chain of this length are inside it and the caps, and what weights are divided
        by for their costs, both [length, K]."""
        if length not in self._known:
            starts = np.arange(length)[:, None]
            slack = (length + self._deltas <= self._longest) & (length + self._deltas >= self._settings.min_length)
            cost = np.maximum(length - starts - self._sizes, 0) + np.maximum(self._deltas, 0) + 1.0
            self._known[length] = (starts + self._sizes <= length) & slack, cost**self._settings.cost_exponent
        return self._known[length]

    def _unfrozen(self, state: State) -> np.ndarray:
        """Which edits at which position touch nothing that an earlier edit made, nor span what one took out, [length, K]."""
        length = len(state.chain)
        starts = np.arange(length)[:, None]
        ends = np.minimum(starts + self._sizes, length)
        before, layers = np.concatenate([[0], np.cumsum(state.frozen)]), np.array(state.chain)
        return (before[ends] == before[starts]) & (layers[ends - 1] - layers[starts] == self._sizes - 1)

    def child(self, state: State, move: int) -> State:
        """The state that a move leads to."""
        start, kind = divmod(move, len(self.kinds))
        size, runs = self.kinds[kind]
        frozen = state.frozen
        if frozen:
            frozen = frozen[:start] + (True,) * (size * runs) + frozen[start + size :]
        chain, block = edited(state.chain, start, size, runs), state.chain[start : start + size]
        return State(chain, state.edits + 1, frozen=frozen, before=state.chain, block=block)


Space = PartialSpace | EditsSpace


def renewed(space: Space, state: State, moves: Moves, tried: int) -> Moves:
    """The moves of a state with the untried ones put in order anew, if the history has grown since they were."""
    if tried == len(moves.ids) or moves.age == space.history.age:
        return moves
    return moves.reordered(space.moves(state), tried)


def make_space(
    num_layers: int,
    table: np.ndarray,
    settings: SearchSettings,
    rng: np.random.Generator,
    changes: np.ndarray | None = None,
) -> Space:
    """The space that the settings name; `changes` is what its history begins with.

    Raises UserError if the settings do not fit a model of num_layers layers.
    """
    settings.check_fits(num_layers)
    kind = PartialSpace if settings.space == "partial" else EditsSpace
    space: Space = kind(num_layers, table, settings, rng)
    if changes is not None:
        space.history = History(num_layers, space.kinds, settings.history, changes)
    return space
