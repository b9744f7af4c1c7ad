"""One pass for many chains: what chains share is run once, and what next needs the same layer runs as one batch.

Each sample keeps a tree of chain prefixes with their hidden states. A wave of chains is a set of new paths in those trees;
the layers of all paths are run lowest layer first, so that paths that lag behind catch up and batches grow.
"""

import logging
import math
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cola_search.errors import UserError
from cola_search.model.anatomy import Anatomy
from cola_search.model.attention import whole_vectors
from cola_search.model.batches import (
    Item,
    Pairs,
    Stack,
    Waiting,
    as_rows,
    batch_inputs,
    by_item,
    groups_of,
    kv_rows_of,
    room_for,
    rows_of,
)
from cola_search.model.free_memory import fits
from cola_search.model.heap import Heap
from cola_search.model.layer_rules import LayerRules
from cola_search.model.packing import pack
from cola_search.model.partial_layer import Capture, KvLayout, run_reads
from cola_search.model.prefixes import Node, Prefixes, RowPool

log = logging.getLogger(__name__)
Work = list[tuple[Item, list[tuple[int, ...]]]]  # items with chains to run over them
FINAL_BATCHES = 16  # of rows that a part's chains leave for the head, outside of the kept states, at most


class Executor:
    """Runs chains of one model over packed samples.

    num_bytes: memory for kept states, a fixed share for each of `samples_in_flight`.
    keep_kv: keep the keys and values of every prefix too, which generation starts from. Half of the memory is for that, and
        half for the slots that generations under way write to.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        num_bytes: int,
        samples_in_flight: int = 1,
        max_batch_tokens: int = 4096,
        keep_kv: bool = False,
    ):
        self.anatomy = anatomy
        self.kv: KvLayout | None = KvLayout.of(anatomy) if keep_kv else None
        kv_width = self.kv.width if self.kv else 0
        kept_bytes = num_bytes // 2 if keep_kv else num_bytes
        rows = kept_bytes // ((anatomy.width + kv_width) * anatomy.dtype.itemsize)
        self.pool = RowPool(rows, anatomy.width, anatomy.dtype, anatomy.device)
        self.kv_pool = RowPool(rows, kv_width, anatomy.dtype, anatomy.device) if self.kv else None
        self.samples_in_flight = samples_in_flight
        self.mixes = not anatomy.additive_masks  # whether items share batches; a trial at load may say no
        self.quota = self.pool.capacity // samples_in_flight  # a fixed share: what is dropped follows from the sample
        # rows of keys and values that the slots of one share hold
        self.slot_quota = kept_bytes // (kv_width * anatomy.dtype.itemsize) // samples_in_flight if kv_width else 0
        self.rules = LayerRules(anatomy)
        self.max_batch_tokens = max_batch_tokens
        self._open: dict[Item, None] = {}
        self._stack: Stack | None = None
        self._heap = Heap(anatomy.device)

    @torch.inference_mode()
    def open(self, sequences: list[list[int]], reads: list[list[int]], least_reads: int = 1) -> Item:
        """An item for token sequences; `reads[i]` are the positions of sequence i whose final states are wanted.

        Where these are fewer than `least_reads` rows, those just before the first of them are read too.
        """
        packed = pack(sequences)
        rows = sorted({packed.rows[i][p] for i, positions in enumerate(reads) for p in positions})
        if len(rows) < least_reads:
            before = packed.rows[0][: reads[0][0]]
            rows = sorted({*rows, *before[len(rows) - least_reads :]})
        device = self.anatomy.device
        n = len(packed.ids)
        if 3 * n > self.quota:
            raise self._too_small(f"a prompt of {n} tokens", 3 * n * self.samples_in_flight)
        positions = torch.from_numpy(packed.positions)[None].to(device)
        sees = torch.from_numpy(packed.sees)[None, None].to(device)
        calls = self.anatomy.watch_calls(
            torch.from_numpy(packed.ids)[None].to(device), positions, self.anatomy.as_handed(sees)
        )
        seen, masks = self.rules.masks(sees, positions[0], int(packed.positions.max()) + 1)
        item = Item(packed, np.array(rows), calls, masks, seen, Prefixes(self.pool, self.quota, n, self.kv_pool))
        self.pool.write(item.prefixes.keep([item.prefixes.root]), calls.hidden[0])
        self._open[item] = None
        return item

    def _too_small(self, what: str, rows: int) -> UserError:
        """The refusal of what needs so many rows of the pools."""
        row_bytes = 2 * (self.pool.row_bytes + self.kv_pool.row_bytes) if self.kv_pool else self.pool.row_bytes
        enough = math.ceil(rows * row_bytes / 1e6)
        return UserError(f"engine.memory is too small for {what}: give it at least {enough}MB.")

    def close(self, item: Item) -> None:
        """Gives the item's memory back."""
        item.prefixes.close()
        self._open.pop(item, None)
        self._stack = None

    def run(self, work: Work) -> list[list[Tensor]]:
        """Final hidden rows `[R, d]` per chain of each item, in order; the items share batches."""
        results: list[list[Tensor]] = [[] for _ in work]
        for part in self.parts(work):
            found = self.run_part([(work[slot][0], chains) for slot, chains in part.items()])
            for slot, rows in zip(part, found, strict=True):
                results[slot].extend(rows)
        return results

    def parts(self, work: Work, new_tokens: int = 0) -> list[dict[int, list[tuple[int, ...]]]]:
        """The work in parts that fit the memory, as {index into work: its chains}.

        An item that needs more than its share for a single chain takes more of them, and fewer items are in that part.
        """
        shares = self.samples_in_flight
        roots = sum(item.num_rows for item in self._open)  # which stay whatever else is dropped
        longest = max(item.num_rows for item, _ in work) + new_tokens
        columns = whole_vectors(longest)  # of a slot: those of a batch are of one length
        parts: list[dict[int, list]] = []
        free: list[int] = []
        for slot, (item, chains) in enumerate(work):
            length = max(map(len, chains), default=0)
            self._refuse_too_long(item, length, roots)
            rows, slots = self._rows_of_a_chain(item, length, columns)
            final = FINAL_BATCHES * self.max_batch_tokens // shares
            together = min((self.quota - item.num_rows) // rows, self.slot_quota // slots if slots else sys.maxsize)
            size = max(1, min(together, final // max(1, len(item.reads))))
            more = math.ceil((roots + rows) / self.quota) if item.num_rows + rows > self.quota else 1
            taken = min(shares, max(more, math.ceil(slots / self.slot_quota) if slots else 1))
            k = 0
            for start in range(0, len(chains), size):
                while k < len(free) and free[k] < taken:
                    k += 1
                if k == len(free):
                    parts.append({})
                    free.append(shares)
                parts[k][slot] = chains[start : start + size]
                free[k] -= taken
                k += 1
        return parts

    def _refuse_too_long(self, item: Item, length: int, roots: int) -> None:
        """Raises UserError where the memory cannot hold one generation: all states of its chain, the last one only if watched."""
        need = roots + item.num_rows * (length if item.watch else length - 1)
        if self.kv and need > self.pool.capacity:
            what = f"a chain of {length} layers that generates after a prompt of {item.num_rows} tokens"
            raise self._too_small(what, need)

    def _rows_of_a_chain(self, item: Item, length: int, columns: int) -> tuple[int, int]:
        """Rows of the pool, and of the slots, that one chain takes while it runs.

        Where nothing is generated that is two states, and no slot. A generation needs the state, the keys and the values of every
        prefix, and for each of these a slot of so many columns.
        """
        return (max(1, length * item.num_rows), length * columns) if self.kv else (2 * item.num_rows, 0)

    @torch.inference_mode()
    def run_part(self, work: Work) -> list[list[Tensor]]:
        """As `run`, for what fits the memory at once: one of `parts`. Where it fails, the items' states begin anew."""
        try:
            return self._run_part(work)
        except BaseException:  # an interrupt too: what was planned or half entered would pass for states
            for item, _ in work:
                item.prefixes.reset()
            raise

    def _run_part(self, work: Work) -> list[list[Tensor]]:
        self._make_room(work)
        items = tuple(item for item, _ in work)
        if self._stack is None or self._stack.items != items:  # a search asks for the same samples wave after wave
            self._stack = Stack(items)
        waiting = Waiting()
        ends = [[self._plan(item, chain, waiting) for chain in chains] for item, chains in work]
        final = room_for([item for item, _ in work], ends, self.pool)
        for (item, _), nodes in zip(work, ends, strict=True):
            for node in nodes:
                if node.rows is not None:
                    final[node].copy_(self.pool.read(node.rows[item.reads]))
        while waiting.by_layer:
            layer, batch = waiting.next_batch()
            last = [(i, n) for i, n in batch if not n.todo and i.watch is None]
            more = [(i, n) for i, n in batch if n.todo or i.watch is not None]
            self._run_groups(more, partial(self._run_batch, layer, final=final, waiting=waiting))
            self._run_groups(last, partial(self._run_last, layer, final=final))
        return [[final[node] for node in nodes] for nodes in ends]

    def _make_room(self, work: Work) -> None:
        """Drops states of open items that are not in this part, where the part needs more than its shares and finds no room."""
        need: dict[Item, int] = {}
        for item, chains in work:
            states = sum(map(len, chains)) if self.kv else 2 * len(chains)
            need[item] = need.get(item, item.num_rows) + item.num_rows * states
        held = {item: len(item.prefixes.kept) * item.num_rows for item in self._open if item not in need}
        if sum(max(self.quota, rows) for rows in need.values()) + sum(held.values()) > self.pool.capacity:
            for item in held:
                item.prefixes.make_room(self.quota // item.num_rows - 1)  # all but the root

    def _plan(self, item: Item, chain: tuple[int, ...], waiting: Waiting) -> Node:
        """The node at the end of the chain; queues what has to be computed on the way to it."""
        item.prefixes.wave += 1
        node, path = item.prefixes.root, []
        for layer in chain:
            node = node.child(layer)
            path.append(node)
        item.prefixes.pinned.update(path if self.kv else ())
        node.used = item.prefixes.wave
        for node in reversed(path):
            if node.rows is not None and not self.kv:  # with keys and values every prefix of the path is needed
                break
            parent = node.origin
            parent.used = item.prefixes.wave
            if node.rows is None and node not in parent.todo:
                parent.todo.append(node)
                if parent.rows is not None:
                    waiting.add(item, node)
        return path[-1]

    def _run_groups(self, batch: Pairs, run: Callable[[Pairs], None]) -> None:
        """Runs a batch group by group; where memory does not suffice for a group, its halves, and from then on smaller ones."""
        for group in groups_of(batch, self.max_batch_tokens, self.mixes):
            self._heap.tidy()
            if fits(partial(run, group), alone=len(group) == 1):
                continue
            lengths = [item.num_rows for item, _ in group]  # of which nothing was entered yet
            self.max_batch_tokens = max(max(lengths), sum(lengths) // 2)
            log.warning("out of memory: engine.max_batch_tokens is %d from now on.", self.max_batch_tokens)
            self._run_groups(group, run)

    def _run_batch(self, layer: int, pairs: Pairs, final: dict, waiting: Waiting) -> None:
        batch = batch_inputs(self.pool, layer, pairs, self._stack)
        capture = Capture() if self.kv else None
        out = self.anatomy.run_layer(layer, batch.hidden, batch.call, batch.mask, capture).flatten(0, 1)
        # all that allocates memory comes before anything is stored, so that a batch that does not fit can be tried again
        states = as_rows(out, self.pool)
        kv = as_rows(capture.flat(), self.kv_pool) if capture is not None and self.kv_pool else None
        ended = [one for one in batch.laid if one[2] in final]
        if ended:
            self._read_rows(out, ended, final)  # once more, to the same places, if the batch is tried again
        for item, nodes in by_item(pairs).items():
            for node in nodes:
                node.origin.todo.remove(node)
            item.prefixes.keep(nodes)
            item.layer_executions += len(nodes)
        self.pool.write(np.concatenate([rows_of(node) for _, node in pairs]), states)
        self._write_kv(pairs, kv)
        for start, item, node in batch.laid:
            if item.watch is not None:
                own = slice(start, start + item.num_rows)
                item.watch.layer(layer, batch.hidden.flatten(0, 1)[None, own], out[None, own])
            for child in node.todo:
                waiting.add(item, child)

    def _read_rows(self, out: Tensor, ended: list[tuple[int, Item, Node]], final: dict[Node, Tensor]) -> None:
        """Enters the rows that are read of the sequences that end here, which begin at those rows of `out`, gathered at once."""
        rows = np.concatenate([start + item.reads for start, item, _ in ended])
        parts = out.index_select(0, torch.from_numpy(rows).to(out.device, non_blocking=True))
        for (_, _, node), part in zip(ended, parts.split([len(item.reads) for _, item, _ in ended]), strict=True):
            final[node].copy_(part)

    def _run_last(self, layer: int, pairs: Pairs, final: dict) -> None:
        """The last layer of chains: only the rows that are read go through it, and its state is not kept."""
        out, capture = run_reads(self.anatomy, layer, batch_inputs(self.pool, layer, pairs, self._stack))
        kv = as_rows(capture.flat(), self.kv_pool) if self.kv_pool else None
        for (item, node), part in zip(pairs, out.split([len(item.reads) for item, _ in pairs]), strict=True):
            node.origin.todo.remove(node)
            if node in final:  # else its keys and values are wanted, and the state behind it is there
                final[node].copy_(part)
            item.layer_executions += 1
        if self.kv:
            for item, nodes in by_item(pairs).items():
                item.prefixes.take_kv(nodes)
        self._write_kv(pairs, kv)

    def _write_kv(self, batch: Pairs, values: Tensor | None) -> None:
        if self.kv_pool is not None and values is not None:
            self.kv_pool.write(np.concatenate([kv_rows_of(node) for _, node in batch]), values)
