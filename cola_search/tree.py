"""The search tree as a struct of arrays; a node's index is its place in the order of evaluation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cola_search.moves import Moves, State
from cola_search.selection import TIE_NOISE


@dataclass
class Tree:
    """All nodes of one search, N of them in arrays of a capacity that doubles when needed.

    Nodes that can be reached in several ways are merged, so this is an acyclic graph; `parent` is the first way found.

    states: the partial or edited chain of each node; moves: its legal moves, None until they are needed.
    parent: [N], NO_PARENT at the root.
    children: [N, A] node indices, the first num_children [N] of each row are in use, the others NO_CHILD.
    prior: [N, A] probability of the move to that child.
    next_move: [N] how many of the node's moves, in their order, have been tried; also the next one to try.
    visits: [N] simulations through the node, those in flight included.
    reward_sum, best: [N] sum and maximum of the rewards told below the node and at it, 0 before the first.
    own: [N] reward of the node's chain itself, 0 before it is told.
    length: [N] layers of the node's chain.
    bias: [N] small seeded noise that breaks ties, minus infinity once nothing new can be found below the node.
    rng: where the noise comes from.
    """

    ROOT: ClassVar[int] = 0
    NO_PARENT: ClassVar[int] = -1
    NO_CHILD: ClassVar[int] = -1

    states: list[State]
    moves: list[Moves | None]
    parent: np.ndarray
    children: np.ndarray
    num_children: np.ndarray
    prior: np.ndarray
    next_move: np.ndarray
    visits: np.ndarray
    reward_sum: np.ndarray
    best: np.ndarray
    own: np.ndarray
    length: np.ndarray
    bias: np.ndarray

    rng: np.random.Generator

    @classmethod
    def allocate(cls, root: State, rng: np.random.Generator, capacity: int = 256, width: int = 8) -> "Tree":
        """A tree with a root, and room for `capacity` nodes of `width` children before it must grow."""
        tree = cls(
            states=[],
            moves=[],
            parent=np.full(capacity, cls.NO_PARENT, np.int32),
            children=np.full((capacity, width), cls.NO_CHILD, np.int32),
            num_children=np.zeros(capacity, np.int32),
            prior=np.zeros((capacity, width)),
            next_move=np.zeros(capacity, np.int32),
            visits=np.zeros(capacity),
            reward_sum=np.zeros(capacity),
            best=np.zeros(capacity),
            own=np.zeros(capacity),
            length=np.zeros(capacity, np.int32),
            bias=rng.random(capacity) * TIE_NOISE,
            rng=rng,
        )
        tree.add(root)
        return tree

    def __len__(self) -> int:
        return len(self.states)

    def add(self, state: State) -> int:
        """The index of a new node, not yet linked to a parent."""
        node = len(self.states)
        if node == len(self.parent):
            self._double()
        self.length[node] = len(state.chain)
        self.states.append(state)
        self.moves.append(None)
        return node

    def _double(self) -> None:
        """Twice the room: the new half of every array is what a new tree of the old size has."""
        new = Tree.allocate(self.states[self.ROOT], self.rng, len(self.parent), self.children.shape[1])
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, np.concatenate([value, getattr(new, name)]))

    def link(self, parent: int, child: int, prior: float) -> None:
        """Makes `child` one of the children of `parent`."""
        slot = int(self.num_children[parent])
        if slot == self.children.shape[1]:
            self.children = np.hstack([self.children, np.full_like(self.children, self.NO_CHILD)])
            self.prior = np.hstack([self.prior, np.zeros_like(self.prior)])
        self.children[parent, slot] = child
        self.prior[parent, slot] = prior
        self.num_children[parent] = slot + 1
        if self.parent[child] == self.NO_PARENT:
            self.parent[child] = parent

    def close(self, node: int) -> None:
        """Takes the node out of selection."""
        self.bias[node] = -np.inf

    def is_closed(self, node: int) -> bool:
        """True iff nothing new can be found below the node."""
        return bool(self.bias[node] == -np.inf)
