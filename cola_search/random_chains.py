"""Random chains: what a search is compared with to see what searching adds."""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cola_search.chain import Chain
from cola_search.moves import Edit, edit_kinds, edit_weights
from cola_search.outcome import Score
from cola_search.priors import KEEP
from cola_search.search_settings import SearchSettings
from cola_search.space import make_space

MAX_DRAWS = 1000  # draws in a row that give nothing new, after which a space counts as exhausted


class RandomChains:
    """Distinct chains drawn from the prior, and from nothing else, inside the caps: no search at all, at the same budget.

    Neither the costs of edits nor what they taught play a part. space=partial: every layer in turn is edited with its
    probability, so no position is preferred. space=edits: as many random edits one after the other, at least one.

    floor: a length below which no chain is drawn.
    """

    def __init__(self, num_layers: int, settings: SearchSettings, table: np.ndarray, rng: np.random.Generator) -> None:
        self._rng = rng
        self._table = table
        self._space = make_space(
            num_layers, table, replace(settings, temperature=1.0, cost_exponent=0.0, history=0.0), rng
        )
        self.floor = self._space.floor(self._space.root())
        self._draw = LayerDraws(table, settings, rng).draw if settings.space == "partial" else self._draw_edits

    def propose(self, seen: Container[Chain]) -> Chain | None:
        """A chain that was not seen; None if many draws gave none."""
        drawn = (self._draw() for _ in range(MAX_DRAWS))
        return next((chain for chain in drawn if chain is not None and chain not in seen), None)

    def learn(self, chains: Sequence[Chain], scores: Sequence[Score]) -> None:
        """Learns nothing."""

    def _draw_edits(self) -> Chain:
        """The identity chain after a random number of random edits."""
        state = self._space.root()
        for _ in range(max(1, self._rng.binomial(len(self._table), 1 - self._table[:, KEEP].mean()))):
            moves = self._space.moves(state)
            if not len(moves.ids):
                break
            state = self._space.child(state, moves.ids[0])
        return state.chain


class LayerDraws:
    """Chains of independent decisions layer by layer, given that they have an edit and keep to the caps.

    Each decision weighs as much as the table says times the probability that the layers after it still end inside the
    caps. So tight caps cost no draws, and the layers that come first have no better chance to use up a cap.
    """

    def __init__(self, table: np.ndarray, settings: SearchSettings, rng: np.random.Generator) -> None:
        kinds = edit_kinds(settings)
        decisions = (*kinds, Edit(1, 1))  # the last one keeps the layer
        self._rng = rng
        self._weights = np.column_stack([edit_weights(table, kinds), table[:, KEEP]])
        self._sizes = np.array([decision.size for decision in decisions])
        self._runs = np.array([decision.runs for decision in decisions])
        self._longest = settings.longest(len(table))
        self._limited = settings.max_edits is not None
        # without a limit, all that counts is whether there is an edit
        self._most = min(settings.max_edits or 1, len(table))
        self._inside = self._chances(settings.min_length)

    def _chances(self, shortest: int) -> np.ndarray:
        """The probability that a chain ends inside the caps, [L + 1, E + 2, longest + 2]: by the next layer to decide on, and by
        the edits and positions so far.

        The last index of edits and of positions stands for one too many, whose probability is 0. As in the tree, the chain
        that plain appends would complete has to be inside the caps after every edit.
        """
        num_layers = len(self._weights)
        inside = np.zeros((num_layers + 1, self._most + 2, self._longest + 2))
        inside[-1, 1:-1, shortest:-1] = 1
        edits, positions = np.arange(self._most + 1)[:, None], np.arange(self._longest + 1)
        for layer in reversed(range(num_layers)):
            for kind in np.flatnonzero(self._weights[layer]):
                then = inside[self._after(kind, layer, edits, positions)]
                inside[layer, :-1, :-1] += self._weights[layer, kind] * then
            completed = np.arange(self._longest + 2) + num_layers - layer
            inside[layer][:, (completed < shortest) | (completed > self._longest)] = 0
        return inside

    def _after(self, kinds: Any, layer: int, edits: Any, positions: Any) -> tuple[Any, Any, Any]:
        """Next layer, edits and positions, as _chances has them, after decisions of these kinds."""
        edits = edits + (self._runs[kinds] != 1)
        return (
            np.minimum(layer + self._sizes[kinds], len(self._weights)),
            edits if self._limited else np.minimum(edits, self._most),
            np.minimum(positions + self._sizes[kinds] * self._runs[kinds], self._longest + 1),
        )

    def draw(self) -> Chain | None:
        """One chain; None if there is none inside the caps but the identity chain."""
        layers: list[int] = []
        layer, edits, kinds = 0, 0, np.arange(len(self._sizes))
        while layer < len(self._weights) and self._inside[0, 0, 0]:
            after = self._after(kinds, layer, edits, len(layers))
            chances = np.cumsum(self._weights[layer] * self._inside[after])
            kind = int(np.searchsorted(chances, self._rng.random() * chances[-1], side="right"))
            layers += list(range(layer, layer + self._sizes[kind])) * self._runs[kind]
            layer, edits = int(after[0][kind]), int(after[1][kind])
        return Chain(layers) if layers else None
