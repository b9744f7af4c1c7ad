"""Chains without a search for them: by what the layers do to the residual stream, by voids, by a prior, or greedily."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cola_search.chain import Chain
from cola_search.model.layer_watch import LayerWatch, watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Stock
from cola_search.model.voids import encode, iter_voids, prompt_pass
from cola_search.objective.board import View
from cola_search.objective.racing import halving

MAX_REMOVED = 0.5  # of the layers, at most, in chains of a static policy
REPEATED_BLOCK = 8  # layers of the largest block that is tried as a single repeat
BATCH = 16  # prompts in one pass


@dataclass(frozen=True)
class StreamFacts:
    """What the layers do to the residual stream over the tokens of some prompts.

    influence: [L], mean over all tokens of 1 - cosine(stream before the layer, stream after it).
    distance: [L + 1, L + 1], entry (i, j): mean over prompts of the angle / pi between the last token's stream before
        layer i and before layer j (after the last layer for L).
    """

    influence: np.ndarray
    distance: np.ndarray


class _StreamWatch(LayerWatch):
    """Keeps the cosines and the last token's stream of one padded pass."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = torch.tensor(lengths)
        self.cosines: list[float] = []
        self.last: list[Tensor] = []

    def start(self, call: dict[str, Any]) -> None:
        """Nothing to do."""

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> None:
        lengths = self._lengths.to(hidden.device)
        real = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        cosine = torch.cosine_similarity(hidden.float(), output.float(), dim=-1)
        self.cosines.append(float(cosine[real].sum()))
        rows = torch.arange(len(lengths), device=hidden.device)
        for stream in (hidden, output) if index == 0 else (output,):
            self.last.append(stream[rows, lengths - 1].float().cpu())


def stream_facts(model: LoadedModel, samples: Sequence[Any]) -> StreamFacts:
    """The facts of the samples' prompts, at one pass of all layers a prompt."""
    stock = Stock(model)
    prompts = sorted((encode(stock, sample).contexts[0] for sample in samples), key=len)
    cosines = np.zeros(model.num_layers)
    distance = np.zeros((model.num_layers + 1, model.num_layers + 1))
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        watch = _StreamWatch([len(prompt) for prompt in batch])
        with watch_layers(model.hf, watch):
            prompt_pass(model.hf, batch)
        cosines += watch.cosines
        unit = torch.nn.functional.normalize(torch.stack(watch.last, dim=1), dim=-1)  # [B, L + 1, d]
        distance += (torch.arccos((unit @ unit.mT).clamp(-1, 1)) / torch.pi).sum(0).numpy()
    return StreamFacts(1 - cosines / sum(map(len, prompts)), distance / len(prompts))


def void_share(model: LoadedModel, samples: Sequence[Any], alpha: float = 0.8) -> np.ndarray:
    """Per layer the share of the prompts' tokens for which it is void, [L]: LAC (arxiv.org/abs/2505.14467)."""
    voids = [found.pp for found in iter_voids(model, samples, alpha, phases=("pp",))]
    share: np.ndarray = np.concatenate(voids).mean(axis=0)
    return share


def remove_lowest(scores: np.ndarray) -> list[Chain]:
    """For every number of layers up to half of them, the chain without the layers of the lowest scores [L].

    With block influence it is ShortGPT (arxiv.org/abs/2403.03853, section 3.2). Of equal scores the later layer goes.
    """
    layers = len(scores)
    order = sorted(range(layers), key=lambda layer: (scores[layer], -layer))
    return [
        Chain(layer for layer in range(layers) if layer not in order[:count])
        for count in range(1, int(MAX_REMOVED * layers) + 1)
    ]


def remove_block(distance: np.ndarray) -> list[Chain]:
    """For every size up to half of the layers, the chain without the block over which the stream turns least.

    Source: Gromov et al. (arxiv.org/abs/2403.17887, section 3): the block from layer l of n layers with the least
    angular distance (l, l + n). Differs from the paper: nothing is healed by training afterwards.
    """
    layers = len(distance) - 1
    chains = []
    for size in range(1, int(MAX_REMOVED * layers) + 1):
        start = int(np.argmin([distance[first, first + size] for first in range(layers - size + 1)]))
        chains.append(Chain.identity(layers).skip(start, size))
    return chains


def repeated_blocks(num_layers: int) -> list[Chain]:
    """Every block of up to 8 layers run once more: "repeat yourself", the single repeats of public model merges."""
    return [
        Chain.identity(num_layers).repeat(start, size, 1)
        for size in range(1, min(REPEATED_BLOCK, num_layers) + 1)
        for start in range(num_layers - size + 1)
    ]


def greedy_removal(view: View, first: int) -> Iterator[Chain]:
    """The identity chain with one more position removed each time: the one without which the merit is highest.

    Each removal is a race of halves (racing.halving). Ends at half the layers, or with the view's limit.
    """
    chain = view.base
    shortest = len(chain) - int(MAX_REMOVED * len(chain))
    while len(chain) > shortest and not view.exhausted:
        best = halving(view, [chain.skip(position, 1) for position in range(len(chain))], first)
        chain = best[0] if best else chain
        yield from best
