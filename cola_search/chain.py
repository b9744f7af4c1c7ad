"""The chain: an immutable tuple of layer indices in the order in which they run."""

import operator
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Self

from cola_search.errors import UserError

MAX_PARSED_LENGTH = 100_000  # a typing error such as x1000000000 must not fill the memory
_TOKEN = re.compile(r"\s*(?:\(\s*(\d+)(?:\s*-\s*(\d+))?\s*\)\s*x\s*(\d+)|(\d+)(?:\s*-\s*(\d+))?)(?=\s|\(|$)")
Jump = tuple[int, int]  # (layer before, layer after) where a chain does not go on with the next layer


class Chain(tuple[int, ...]):
    """A chain of layers: equal to, and hashed like, the plain tuple of its zero-based layer indices.

    A chain has at least one layer. Slices are plain tuples. Text form: `0-11 (12-14)x2 15-27`, with inclusive ranges,
    where x2 counts all runs of the block.
    """

    __slots__ = ()

    def __new__(cls, layers: Iterable[int]) -> Self:
        if isinstance(layers, str):
            raise UserError(f"The text {layers!r} is no sequence of layers: make a chain of it with Chain.parse.")
        chain = super().__new__(cls, map(operator.index, layers))
        if not chain:
            raise UserError("A chain needs at least one layer.")
        if min(chain) < 0:
            raise UserError(f"Layer {min(chain)} is negative: layers of a chain count from 0.")
        return chain

    @classmethod
    def identity(cls, num_layers: int) -> Self:
        """The model as it was trained: layers 0 to num_layers - 1, once each."""
        return cls(range(num_layers))

    @classmethod
    def parse(cls, text: str, num_layers: int | None = None) -> Self:
        """The chain that a text such as `0-11 (12-14)x2 15-27` names; the inverse of str.

        Raises UserError if the text is empty, is not in this form, or names a layer that a model of num_layers layers
        does not have.
        """
        layers: list[int] = []
        for first, last, runs in _blocks(text):
            _check_block(text, first, last, runs, num_layers, room=MAX_PARSED_LENGTH - len(layers))
            layers += list(range(first, last + 1)) * runs
        return cls(layers)

    def __str__(self) -> str:
        return " ".join(_block_text(first, last, runs) for first, last, runs in _fold(self))

    def __repr__(self) -> str:
        return f"Chain.parse({str(self)!r})"

    def skip(self, start: int, size: int) -> Self:
        """The chain without the `size` positions from position `start` on."""
        self._check_span(start, size)
        return type(self)(self[:start] + self[start + size :])

    def repeat(self, start: int, size: int, extra: int) -> Self:
        """The chain in which the `size` positions from `start` run `extra` more times, right after their first run."""
        self._check_span(start, size)
        if extra < 1:
            raise UserError(f"extra={extra}: a repeat adds at least one run.")
        end = start + size
        return type(self)(self[:end] + self[start:end] * extra + self[end:])

    def counts(self, num_layers: int) -> tuple[int, ...]:
        """How often each layer of a model with num_layers layers runs, [num_layers]."""
        check_layers(self, num_layers)
        runs = [0] * num_layers
        for layer in self:
            runs[layer] += 1
        return tuple(runs)

    def skipped(self, num_layers: int) -> tuple[int, ...]:
        """The layers that never run, ascending."""
        return tuple(layer for layer, runs in enumerate(self.counts(num_layers)) if runs == 0)

    def repeated(self) -> tuple[int, ...]:
        """The layers that run more than once, ascending."""
        return tuple(layer for layer, runs in enumerate(self.counts(max(self) + 1)) if runs > 1)

    def _check_span(self, start: int, size: int) -> None:
        if size < 1 or start < 0 or start + size > len(self):
            raise UserError(
                f"Positions {start} to {start + size - 1} are not a block of a chain of {len(self)} positions."
            )


def check_layers(layers: Iterable[int], num_layers: int, what: str = "The chain") -> None:
    """Raises UserError if `what` names a layer that a model of num_layers layers does not have."""
    last = max(layers)
    if last >= num_layers:
        raise UserError(f"{what} names layer {last}, but the model has layers 0 to {num_layers - 1}.")


def _blocks(text: str) -> Iterator[tuple[int, int, int]]:
    """The (first layer, last layer, runs) blocks of a text, unchecked."""
    if not text.strip():
        raise UserError("An empty text names no chain; write one like '0-11 (12-14)x2 15-27'.")
    end, text = 0, text.rstrip()
    while end < len(text):
        token = _TOKEN.match(text, end)
        if token is None:
            rest = text[end:].strip()
            raise UserError(
                f"Chain text {text!r} is not understood at {rest!r}; write one like '0-11 (12-14)x2 15-27'."
            )
        looped, looped_last, runs, plain, plain_last = token.groups()
        first = int(plain if looped is None else looped)
        yield first, int(plain_last or looped_last or first), int(runs or 1)
        end = token.end()


def _check_block(text: str, first: int, last: int, runs: int, num_layers: int | None, room: int) -> None:
    if last < first:
        raise UserError(f"Chain text {text!r} has the descending range {first}-{last}; ranges ascend.")
    if runs < 1:
        raise UserError(f"Chain text {text!r} asks for x{runs}; a block runs at least once.")
    if num_layers is not None:
        check_layers([last], num_layers, f"Chain text {text!r}")
    if (last - first + 1) * runs > room:
        raise UserError(f"Chain text {text!r} is longer than {MAX_PARSED_LENGTH} layers.")


def _fold(layers: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """The canonical (first, last, runs) blocks of a chain: each ascending run, with a repeat of its end folded."""
    start = 0
    while start < len(layers):
        end = start + 1
        while end < len(layers) and layers[end] == layers[end - 1] + 1:
            end += 1
        block, runs = end, 1
        if end < len(layers) and layers[start] <= layers[end] <= layers[end - 1]:
            # The next run starts inside this one: the only block that can repeat here goes from that layer to the end.
            block = start + layers[end] - layers[start]
            size = end - block
            while layers[block : block + size] == layers[block + runs * size : block + (runs + 1) * size]:
                runs += 1
        if runs == 1:
            yield layers[start], layers[end - 1], 1
            start = end
            continue
        if block > start:
            yield layers[start], layers[block - 1], 1
        yield layers[block], layers[end - 1], runs
        start = block + runs * (end - block)


def _block_text(first: int, last: int, runs: int) -> str:
    span = str(first) if first == last else f"{first}-{last}"
    return span if runs == 1 else f"({span})x{runs}"


def undone_chains(chain: Chain, num_layers: int) -> list[Chain]:
    """For each edit of the chain, the chain with that edit undone and all others kept; none where it is the only one,
    for what is left then is the whole model.

    An edit is a jump: forward it is a skip of the layers between, and undoing it runs them; backward it is a repeat, and
    undoing it takes out every run up to the first layer that comes after the repeated block. The same jump at several
    places (the runs of one repeat, the same gap in each of them) is one edit. Skipping all last layers is one, too.
    """
    jumps: dict[Jump, list[int]] = {}
    for place, (before, after) in enumerate(pairwise((-1, *chain, num_layers))):
        if after != before + 1:
            jumps.setdefault((before, after), []).append(place)
    undone = [_undone(chain, jump, places) for jump, places in jumps.items()]
    return [other for other in undone if other != Chain.identity(num_layers)]


def _undone(chain: Chain, jump: Jump, places: list[int]) -> Chain:
    before, after = jump
    if after > before:
        parts = [chain[start:end] for start, end in pairwise((0, *places, len(chain)))]
        between = tuple(range(before + 1, after))
        return Chain(sum((between + part for part in parts[1:]), parts[0]))
    again: set[int] = set()
    for place in places:
        end = next((p for p in range(place, len(chain)) if chain[p] > before), len(chain))
        again.update(range(place, end))
    return Chain(layer for place, layer in enumerate(chain) if place not in again)
