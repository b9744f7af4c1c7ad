"""Greedy generation for many chains at once: one step of all chains is run layer by layer, each chain with its own cache.

The prompt's keys and values come from the prefixes that the chains share. Every position of every chain has its own slot of
keys and values (a repeated layer is composition, not a shared cache), and slots that are run together lie next to each other.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from cola_search.model.anatomy import LEAST_ROWS, enough
from cola_search.model.attention import short_keys_mask, whole_vectors
from cola_search.model.batches import Item
from cola_search.model.executor import Executor
from cola_search.model.partial_layer import NothingCached
from cola_search.model.prefixes import Node
from cola_search.model.schedule import common_order, riders, thinned

Stop = Callable[[int, list[int]], bool]  # (which chain, its tokens so far) -> whether it is done


@dataclass
class Stage:
    """One batch of a step: a layer, the chains `[B]` that run it now, here and on the device, and their slots.

    B is at least LEAST_ROWS: of few chains the last is there again and again, but has one slot.
    """

    layer: int
    chains: np.ndarray
    index: Tensor
    slots: slice


def filled(rows: list[int]) -> np.ndarray:
    """The rows, the last one again and again where there are less than LEAST_ROWS of them."""
    return np.array(rows + rows[-1:] * (LEAST_ROWS - len(rows)))


def steps_of(source: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Moves in place, (to, from) each, after which slot i holds what slot source[i] held; at most 2 * size in each.

    What lies where others are to come, and is wanted further behind, goes to where those came from.
    """
    source = source.copy()
    for start in range(0, len(source), size):
        here, behind = source[start : start + size], source[start + size :]
        stop = start + len(here)
        pushed = np.flatnonzero((behind >= start) & (behind < stop))
        free = here[here >= stop][: len(pushed)]
        if len(pushed) or (here != np.arange(start, stop)).any():
            yield np.concatenate([np.arange(start, stop), free]), np.concatenate([here, behind[pushed]])
        behind[pushed] = free


class Decoder:
    """A generation under way for chains that may belong to several items.

    keys, values: `[slots, heads, columns, width]`; a chain's prompt and its tokens fill its columns from the first on, so that
    column and position are one, and a step looks hardly further than the longest chain under way.
    max_new_tokens: of all chains, or of each `[chains]`.
    rows: which of the active chains a step feeds `[R]`: each once, and the last more often where they are few.
    """

    def __init__(
        self,
        executor: Executor,
        items: list[Item],
        chains: list[tuple[int, ...]],
        prompt_rows: list[int],
        max_new_tokens: int | np.ndarray,
    ):
        self.executor, self.anatomy = executor, executor.anatomy
        self.items, self.chains = items, chains
        assert executor.kv is not None
        self.kv = executor.kv
        self.prompt = np.array(prompt_rows)  # [chains], rows of the prompt; rows behind it belong to scored text
        self.prompts = [item.packed.ids[:n].tolist() for item, n in zip(items, prompt_rows, strict=True)]
        longest = int((self.prompt + max_new_tokens).max())
        self.rules = executor.rules.of(longest)
        self.columns = min([whole_vectors(longest), *(len(rule) for rule in self.rules if rule is not None)])
        self.tokens_run = np.zeros(len(chains))
        self.order = common_order(chains)
        self.plan(sorted(range(len(chains)), key=lambda c: -prompt_rows[c]))

    def plan(self, active: list[int]) -> None:
        """From now on only these chains are run, longest prompt first; `slot_of` is in the order of the slots."""
        self.active = active
        chains = [self.chains[c] for c in active]
        self.order = thinned(self.order, chains)
        batches = riders(self.order, chains)
        rows = [filled([i for i, _ in batch]) for batch in batches]
        # once, and not at every step: a GPU waits idle for each such copy
        index = self._on_device(np.concatenate(rows)).split(list(map(len, rows)))
        slots = itertools.pairwise(np.cumsum([0, *map(len, batches)]).tolist())
        self.stages = [
            Stage(layer, some, part, slice(start, end))
            for layer, some, part, (start, end) in zip(self.order, rows, index, slots, strict=True)
        ]
        self.rows = filled(list(range(len(active))))
        pairs = [(active[i], p) for batch in batches for i, p in batch]
        self.slot_of = {pair: slot for slot, pair in enumerate(pairs)}

    def _on_device(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self.anatomy.device, non_blocking=True)

    def set_active(self, active: list[int], t: int) -> None:
        """Goes on with these chains only after t steps; the slots that they keep are moved to where the new plan wants them."""
        old, columns = self.slot_of, int(self.prompt[self.active[0]]) + t  # no slot holds more
        self.plan(active)
        source = np.array([old[pair] for pair in self.slot_of])
        for moves in steps_of(source, self._slots_at_once(2 * columns)):
            here, there = map(self._on_device, moves)
            for kept in (self.keys, self.values):
                kept[here, :, :columns] = kept[:, :, :columns].index_select(0, there)

    def _slots_at_once(self, columns: int) -> int:
        """Slots of so many columns that are copied at once: like the rows of a batch, what they take is beside the memory."""
        return max(1, self.executor.max_batch_tokens // columns)

    def load_prompts(self) -> None:
        """Copies the prompt's keys and values of every chain position into its slot."""
        pool = self.executor.kv_pool
        assert pool is not None
        kh, kw, vh, vw = self.kv.shapes[0]
        shape = (len(self.slot_of), self.columns)
        # zeros, because columns that no chain has written are multiplied as well, by a weight of zero
        self.keys = torch.zeros(shape[0], kh, shape[1], kw, dtype=pool.data.dtype, device=pool.data.device)
        self.values = torch.zeros(shape[0], vh, shape[1], vw, dtype=pool.data.dtype, device=pool.data.device)
        paths = [path_of(item, chain) for item, chain in zip(self.items, self.chains, strict=True)]
        pairs, size = list(self.slot_of), self._slots_at_once(int(self.prompt.max()))
        for start in range(0, shape[0], size):
            some = pairs[start : start + size]
            slots, longest = slice(start, start + len(some)), max(int(self.prompt[c]) for c, _ in some)
            rows = np.zeros((len(some), longest), dtype=np.int64)  # row 0 is zero: columns behind a shorter prompt
            for i, (c, p) in enumerate(some):
                node = paths[c][p]
                assert node.kv_rows is not None
                rows[i, : self.prompt[c]] = node.kv_rows[: self.prompt[c]]
            flat = pool.read(rows)
            keys, values = flat[..., : kh * kw], flat[..., kh * kw : kh * kw + vh * vw]
            self.keys[slots, :, :longest] = keys.unflatten(2, (kh, kw)).transpose(1, 2)
            self.values[slots, :, :longest] = values.unflatten(2, (vh, vw)).transpose(1, 2)

    def step(self, tokens: np.ndarray, t: int) -> Tensor:
        """Final rows `[active, d]` after feeding `tokens` `[active]` as the t-th generated tokens."""
        device = self.anatomy.device
        lengths = self.prompt[self.active][self.rows] + t + 1
        column = self._on_device(lengths - 1)
        ones = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
        calls = self.anatomy.watch_calls(
            self._on_device(tokens[self.rows])[:, None], column[:, None], self.anatomy.as_handed(ones)
        )
        hidden, masks = calls.hidden.clone(), self._masks(column, self._last(lengths))
        for stage in self.stages:
            call = calls.calls[calls.kinds[stage.layer]]
            hidden = self._run(stage, hidden, call, masks[id(self.rules[stage.layer])], column, lengths)
        self.tokens_run[self.active] += 1
        return hidden[: len(self.active), 0]

    def _run(
        self, stage: Stage, hidden: Tensor, call: dict, mask: Tensor, column: Tensor, lengths: np.ndarray
    ) -> Tensor:
        """The states `[R, 1, d]` after one batch of a layer; the other arguments are those of all rows that a step feeds."""
        own, index, size = lengths[stage.chains], stage.index, stage.slots.stop - stage.slots.start
        last = self._last(own)
        if size == len(self.active):
            cache = SlotCache(self, stage.slots, column, last)
            return self.anatomy.run_layer(stage.layer, hidden, call, short_keys_mask(mask, own), cache)

        def pick(value: object) -> object:
            return value.index_select(0, index) if isinstance(value, Tensor) and len(value) == len(lengths) else value

        cache = SlotCache(self, stage.slots, column[index], last)
        rows, mask = hidden.index_select(0, index), mask[..., :last].index_select(0, index)
        out = self.anatomy.run_layer(stage.layer, rows, tree_map(pick, call), short_keys_mask(mask, own), cache)
        return hidden.index_copy(0, index[:size], out[:size])

    def _last(self, lengths: np.ndarray) -> int:
        """How many columns are looked at for chains of these lengths `[B]`, falling."""
        return min(whole_vectors(int(lengths[0])), self.columns)

    def _masks(self, column: Tensor, last: int) -> dict[int, Tensor]:
        """Per rule bool `[R, 1, 1, last]`: what the tokens in these columns `[R]` may see."""
        seen = torch.arange(last, device=column.device) <= column[:, None]
        masks = {}
        for rule in {id(rule): rule for rule in self.rules}.values():
            allowed = seen if rule is None else seen & rule[column, :last]
            masks[id(rule)] = allowed[:, None, None]
        return masks


class SlotCache(NothingCached):
    """The cache that one batch of layers sees: writes the new token's keys and values to its slots, returns all so far."""

    def __init__(self, decoder: Decoder, slots: slice, column: Tensor, last: int):
        self.decoder, self.slots, self.column, self.last = decoder, slots, column, last
        self.rows = torch.arange(slots.start, slots.stop, device=column.device)

    def update(self, keys: Tensor, values: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        return self._with(self.decoder.keys, keys), self._with(self.decoder.values, values)

    def _with(self, kept: Tensor, new: Tensor) -> Tensor:
        """The slots' columns so far, on the device of `new`: a device_map may have put the layer elsewhere."""
        size = len(self.rows)
        kept[self.rows, :, self.column[:size]] = new[:size, :, 0].to(kept.device)
        return enough(kept[self.slots, :, : self.last]).to(new.device)


def path_of(item: Item, chain: tuple[int, ...]) -> list[Node]:
    """The prefixes of a chain, shortest first."""
    node, path = item.prefixes.root, []
    for layer in chain:
        node = node.children[layer]
        path.append(node)
    return path


def penalise(logits: Tensor, tokens: list[list[int]], penalty: float) -> None:
    """Makes tokens `[B, ...]` that were seen already less likely in logits `[B, V]`, as transformers' `generate` does.

    Some checkpoints ask for it in their generation config, and the reference follows that.
    """
    for row, seen in zip(logits, tokens, strict=True):
        index = torch.tensor(sorted(set(seen)), device=logits.device)
        values = row[index]
        row[index] = torch.where(values < 0, values * penalty, values / penalty)


def likeliest(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest token of logits `[B, V]`, of several equal ones the first as in stock, and its lead: both `[B]`."""
    top = logits.topk(2)  # many times quicker than argmax, but says any of several equal ones
    best, tokens = top.values.float().cpu().numpy(), top.indices[:, 0].cpu().numpy()
    tied = ~(best[:, 0] > best[:, 1])  # numbers that are none too
    if tied.any():
        rows = torch.from_numpy(tied).to(logits.device)
        tokens[tied] = logits[rows].float().argmax(-1).cpu().numpy()
    return tokens, best[:, 0] - best[:, 1]


@torch.inference_mode()
def generate(
    decoder: Decoder, first_rows: Tensor, stop: Stop, max_new_tokens: int
) -> tuple[list[list[int]], np.ndarray]:
    """Greedy tokens per chain, and per chain the smallest lead of a chosen token over the next best, in logits.

    first_rows: final state `[chains, d]` of the last prompt token. stop: told each chain's tokens after every token.
    """
    decoder.load_prompts()
    penalty = float(getattr(decoder.anatomy.hf.generation_config, "repetition_penalty", None) or 1.0)
    generated: list[list[int]] = [[] for _ in decoder.chains]
    lead = np.full(len(decoder.chains), np.inf)
    rows = first_rows[decoder.active]
    for t in range(max_new_tokens):
        logits = decoder.anatomy.logits(rows)
        if penalty != 1.0:
            logits = logits.float()
            penalise(logits, [[*decoder.prompts[c], *generated[c]] for c in decoder.active], penalty)
        tokens, gaps = likeliest(logits)
        lead[decoder.active] = np.minimum(lead[decoder.active], gaps)
        going = []
        for i, c in enumerate(decoder.active):
            generated[c].append(int(tokens[i]))
            if t + 1 < max_new_tokens and not stop(c, generated[c]):
                going.append(i)
        if not going:
            break
        if len(going) < len(decoder.active):
            decoder.set_active([decoder.active[i] for i in going], t)
        rows = decoder.step(tokens[going], t)
    return generated, lead
