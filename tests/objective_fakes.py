"""Items and boards without a model: a chain is right on an item iff the layers that the item needs run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cola_search.chain import Chain
from cola_search.objective.board import Board, View
from cola_search.outcome import Score
from cola_search.scoring import FakeScorer

LAYERS = 8


@dataclass(frozen=True)
class Item:
    """An item that a chain gets right iff it has these layers."""

    id: str
    needs: frozenset[int]


def items(count: int, shares: Sequence[float], seed: int = 0) -> list[Item]:
    """Items of which each layer is needed by the given share."""
    draws = np.random.default_rng(seed).random((count, len(shares)))
    return [Item(str(i), frozenset(np.flatnonzero(row < shares).tolist())) for i, row in enumerate(draws)]


def judge(item: Item, chain: Chain) -> Score:
    """Right by a margin of 1, wrong by one for each layer that is missing."""
    missing = len(item.needs - set(chain))
    return Score(correct=not missing, margin=float(-missing or 1))


def board(some: Sequence[Item], path: Path | None = None, by: Callable[[Item, Chain], Score] = judge) -> Board:
    """A board of the items."""
    return Board(FakeScorer(by), some, path, {"model": "fake"})


def view(some: Sequence[Item]) -> View:
    """A view of a board of the items with a base of 8 layers."""
    return View(board(some), Chain.identity(LAYERS))
