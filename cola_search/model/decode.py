"""Greedy generation for many chains at once: one step of all chains is run layer by layer, each chain with its own cache.

The prompt's keys and values come from the prefixes that the chains share. Every position of every chain has its own slot of
keys and values (a repeated layer is composition, not a shared cache), and slots that are run together lie next to each other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from cola_search.model.batches import Item
from cola_search.model.executor import Executor
from cola_search.model.partial_layer import NothingCached
from cola_search.model.prefixes import Node

Stop = Callable[[int, list[int]], bool]  # (which chain, its tokens so far) -> whether it is done
SLOTS_AT_ONCE = 64  # slots whose prompt is copied at once: few launches, little memory beside the slots


@dataclass
class Stage:
    """One batch of a step: a layer, the chains `[B]` that run it now, and their slots `[B]`."""

    layer: int
    chains: np.ndarray
    slots: np.ndarray


def plan_step(chains: list[tuple[int, ...]], active: list[int]) -> list[list[tuple[int, int]]]:
    """(chain, position) pairs in batches of one layer: always the lowest layer that any active chain waits for."""
    at = dict.fromkeys(active, 0)
    batches = []
    while at:
        layer = min(chains[c][p] for c, p in at.items())
        batch = [(c, p) for c, p in at.items() if chains[c][p] == layer]
        batches.append(batch)
        for c, p in batch:
            at[c] = p + 1
            if p + 1 == len(chains[c]):
                del at[c]
    return batches


class Decoder:
    """A generation under way for chains that may belong to several items.

    keys, values: `[slots, heads, columns, width]`; the prompt fills columns `0..n-1`, token t goes to column `n_max + t`.
    """

    def __init__(
        self,
        executor: Executor,
        items: list[Item],
        chains: list[tuple[int, ...]],
        prompt_rows: list[int],
        max_new_tokens: int,
    ):
        self.executor, self.anatomy = executor, executor.anatomy
        self.items, self.chains = items, chains
        assert executor.kv is not None
        self.kv = executor.kv
        self.prompt = np.array(prompt_rows)  # [chains], rows of the prompt; rows behind it belong to scored text
        self.prompts = [item.packed.ids[:n].tolist() for item, n in zip(items, prompt_rows, strict=True)]
        self.n_max = int(self.prompt.max())
        self.columns = self.n_max + max_new_tokens
        device = self.anatomy.device
        column = np.arange(self.columns)
        self.column_position = np.where(
            column < self.prompt[:, None], column, self.prompt[:, None] + column - self.n_max
        )
        self.valid = torch.from_numpy((column < self.prompt[:, None]) | (column >= self.n_max)).to(device)
        self.rules = executor.layer_rules(self.columns)
        self.slot_of = {
            pair: s for s, pair in enumerate(p for batch in plan_step(chains, list(range(len(chains)))) for p in batch)
        }
        self.tokens_run = np.zeros(len(chains))
        self.set_active(list(range(len(chains))))

    def set_active(self, active: list[int]) -> None:
        """From now on only these chains are run."""
        self.active = active
        where = {c: i for i, c in enumerate(active)}
        self.stages = []
        for batch in plan_step(self.chains, active):
            rows = np.array([where[c] for c, _ in batch])
            slots = np.array([self.slot_of[pair] for pair in batch])
            self.stages.append(Stage(self.chains[batch[0][0]][batch[0][1]], rows, slots))

    def load_prompts(self) -> None:
        """Copies the prompt's keys and values of every chain position into its slot."""
        pool = self.executor.kv_pool
        assert pool is not None
        kh, kw, vh, vw = self.kv.shapes[0]
        shape = (len(self.slot_of), self.columns)
        self.keys = torch.empty(shape[0], kh, shape[1], kw, dtype=pool.data.dtype, device=pool.data.device)
        self.values = torch.empty(shape[0], vh, shape[1], vw, dtype=pool.data.dtype, device=pool.data.device)
        paths = [path_of(item, chain) for item, chain in zip(self.items, self.chains, strict=True)]
        rows = np.zeros((shape[0], self.n_max), dtype=np.int64)  # row 0 is zero: columns behind a shorter prompt
        for (c, p), slot in self.slot_of.items():
            n, node = int(self.prompt[c]), paths[c][p]
            assert node.kv_rows is not None
            rows[slot, :n] = node.kv_rows[:n]
        for start in range(0, shape[0], SLOTS_AT_ONCE):
            slots = slice(start, start + SLOTS_AT_ONCE)
            flat = pool.read(rows[slots])
            keys, values = flat[..., : kh * kw], flat[..., kh * kw : kh * kw + vh * vw]
            self.keys[slots, :, : self.n_max] = keys.unflatten(2, (kh, kw)).transpose(1, 2)
            self.values[slots, :, : self.n_max] = values.unflatten(2, (vh, vw)).transpose(1, 2)

    def step(self, tokens: np.ndarray, t: int) -> Tensor:
        """Final rows `[active, d]` after feeding `tokens` `[active]` as the t-th generated tokens."""
        device = self.anatomy.device
        positions = torch.from_numpy(self.prompt[self.active] + t)[:, None].to(device)
        ones = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
        calls = self.anatomy.watch_calls(
            torch.from_numpy(tokens)[:, None].to(device), positions, self.anatomy.as_handed(ones)
        )
        hidden, masks = calls.hidden.clone(), self._masks(t)
        for stage in self.stages:
            everyone = len(stage.chains) == len(self.active)
            index = torch.from_numpy(stage.chains).to(device)
            call = calls.calls[calls.kinds[stage.layer]]
            if not everyone:
                call = tree_map(
                    lambda v, i=index: (
                        v.index_select(0, i) if isinstance(v, Tensor) and len(v) == len(self.active) else v
                    ),
                    call,
                )
            mask = masks[id(self.rules[stage.layer])]
            cache = SlotCache(self, stage.slots, self.n_max + t)
            rows = hidden if everyone else hidden.index_select(0, index)
            out = self.anatomy.run_layer(
                stage.layer, rows, call, mask if everyone else mask.index_select(0, index), cache
            )
            hidden = out if everyone else hidden.index_copy(0, index, out)
        self.tokens_run[self.active] += 1
        return hidden[:, 0]

    def _masks(self, t: int) -> dict[int, Tensor]:
        """Per rule bool `[active, 1, 1, columns so far]`: what the t-th generated token may see."""
        last = self.n_max + t + 1
        seen = self.valid[self.active, :last]
        masks = {}
        for rule in {id(rule): rule for rule in self.rules}.values():
            allowed = seen
            if rule is not None:
                own = torch.from_numpy(self.prompt[self.active] + t)
                at = torch.from_numpy(self.column_position[self.active, :last].clip(0))
                allowed = seen & rule[own[:, None], at]
            masks[id(rule)] = allowed[:, None, None]
        return masks


class SlotCache(NothingCached):
    """The cache that one batch of layers sees: writes the new token's keys and values to its slots, returns all so far."""

    def __init__(self, decoder: Decoder, slots: np.ndarray, column: int):
        self.decoder, self.column = decoder, column
        contiguous = len(slots) == 1 + slots[-1] - slots[0] and (np.diff(slots) == 1).all()
        self.slots: slice | Tensor = slice(slots[0], slots[-1] + 1)
        if not contiguous:
            self.slots = torch.from_numpy(slots).to(decoder.keys.device)

    def update(self, keys: Tensor, values: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        decoder, end = self.decoder, self.column + 1
        home, there = decoder.keys.device, keys.device  # they differ where a device_map put the layer elsewhere
        decoder.keys[self.slots, :, self.column] = keys[:, :, 0].to(home)
        decoder.values[self.slots, :, self.column] = values[:, :, 0].to(home)
        return self._so_far(decoder.keys, end).to(there), self._so_far(decoder.values, end).to(there)

    def _so_far(self, kept: Tensor, end: int) -> Tensor:
        """The first columns of this batch's slots; `index_select` copies about three times as fast as an index does."""
        if isinstance(self.slots, slice):
            return kept[self.slots, :, :end]
        return kept[:, :, :end].index_select(0, self.slots)


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
    rows = first_rows
    for t in range(max_new_tokens):
        logits = decoder.anatomy.logits(rows).float()
        if penalty != 1.0:
            penalise(logits, [[*decoder.prompts[c], *generated[c]] for c in decoder.active], penalty)
        top = logits.topk(2)
        tokens = top.indices[:, 0].cpu().numpy()
        gaps = (top.values[:, 0] - top.values[:, 1]).cpu().numpy()
        lead[decoder.active] = np.minimum(lead[decoder.active], gaps)
        going = []
        for i, c in enumerate(decoder.active):
            generated[c].append(int(tokens[i]))
            if t + 1 < max_new_tokens and not stop(c, generated[c]):
                going.append(i)
        if not going:
            break
        if len(going) < len(decoder.active):
            decoder.set_active([decoder.active[i] for i in going])
        rows = decoder.step(tokens[going], t)
    return generated, lead
