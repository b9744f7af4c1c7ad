"""The forms of a prior that `prior_ablation.py` compares: per sample a skip score of at least 0 for every layer, [L].

    uniform          every layer alike
    voids@A          share of the prompt's tokens for which the layer is a void (LAC, arxiv.org/abs/2505.14467), alpha A
    reverse@A        1 - voids@A: voids are what to keep; a sanity check
    rg@A             as voids@A, over the tokens of the greedy answer
    rank@A           rank of voids@A among the layers, 0 to 1, ties shared
    mean@A           voids@A averaged over items of the train split: one table for all samples of a task
    angle            rank of the mean cosine between the stream before and after the layer: 1 where it turns least
    norm             rank of the mean size of the layer's update relative to the stream: 1 where it adds least

Angles and updates are ranked because they span orders of magnitude: by value, one layer would take all.
All but `rg` and `mean` are read off the base pass that the search makes anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from cells import model_of
from torch import Tensor

from cola_search import load_task
from cola_search.model.layer_watch import LayerWatch
from cola_search.model.voids import find_voids_many, judge_norms, norm

ALL = (
    "uniform", "voids@0.6", "voids@0.8", "voids@1.0", "reverse@0.8", "rg@0.8", "rank@0.8", "mean@0.8", "angle", "norm",
)  # fmt: skip
CALIBRATION = 32  # items of the train split behind `mean`


class MoveRecorder(LayerWatch):
    """Keeps of one pass, per layer and token `[B, n]`, the norm after it, the cosine across it, and its relative update."""

    def __init__(self) -> None:
        self.norms: list[Tensor] = []
        self.cosines: list[Tensor] = []
        self.updates: list[Tensor] = []

    def start(self, call: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> None:
        before, after = hidden.float(), output.float()
        if index == 0:
            self.norms.append(norm(before))
        self.norms.append(norm(after))
        self.cosines.append(torch.nn.functional.cosine_similarity(before, after, dim=-1))
        self.updates.append(norm(after - before) / norm(before).clamp_min(1e-12))


@dataclass(frozen=True)
class Moves:
    """What the layers did to the T tokens of a prompt.

    norms: float32 `[T, L + 1]`; cosines, updates: float32 `[T, L]`.
    """

    norms: Tensor
    cosines: np.ndarray
    updates: np.ndarray

    @classmethod
    def of(cls, watch: MoveRecorder, tokens: int) -> "Moves":
        """From the first `tokens` rows that a recorder saw."""
        norms, cosines, updates = (
            torch.stack([each[0, :tokens] for each in kept], -1).cpu()
            for kept in (watch.norms, watch.cosines, watch.updates)
        )
        return cls(norms, cosines.numpy(), updates.numpy())

    def voids(self, alpha: float) -> np.ndarray:
        """Share of the tokens for which each layer is a void, `[L]`."""
        return np.asarray(judge_norms(self.norms, alpha)[0].numpy().mean(axis=0))


def skip_scores(form: str, moves: Sequence[Moves], samples: Sequence[Any], cell: dict[str, Any]) -> list[np.ndarray]:
    """The scores `[L]` of every sample."""
    name, _, text = form.partition("@")
    alpha = float(text or 0.8)
    match name:
        case "uniform":
            return [np.ones(each.cosines.shape[1]) for each in moves]
        case "voids":
            return [each.voids(alpha) for each in moves]
        case "reverse":
            return [1 - each.voids(alpha) for each in moves]
        case "rank":
            return [ranks(each.voids(alpha)) for each in moves]
        case "angle":
            return [ranks(each.cosines.mean(axis=0)) for each in moves]
        case "norm":
            return [ranks(-each.updates.mean(axis=0)) for each in moves]
        case "mean":
            return [task_mean(cell["model"], cell["task"], alpha)] * len(moves)
        case "rg":
            return [voids.rg.mean(axis=0) for voids in answers(cell["model"], samples, alpha)]
    raise ValueError(f"{form} is not a form of prior")


def extra_cost(form: str, samples: Sequence[Any], cell: dict[str, Any]) -> list[float]:
    """Layer executions, over the prompt, that each sample's scores cost beyond its base pass."""
    if not form.startswith("rg"):
        return [0.0] * len(samples)
    found = answers(cell["model"], samples, float(form.partition("@")[2]))
    return [voids.pp.shape[1] * (1 + len(voids.rg) / len(voids.pp)) for voids in found]


def answers(model: str, samples: Sequence[Any], alpha: float) -> list[Any]:
    """The voids of prompts and greedy answers."""
    return list(_answers(model, tuple(samples), alpha))


@lru_cache(1)  # asked for twice in a row
def _answers(model: str, samples: tuple[Any, ...], alpha: float) -> tuple[Any, ...]:
    return tuple(find_voids_many(model_of(model), samples, alpha))


@cache
def task_mean(model: str, task: str, alpha: float) -> np.ndarray:
    """voids@alpha averaged over the calibration items, `[L]`."""
    loaded = model_of(model)
    items = list(load_task(task, split="train", limit=CALIBRATION).bind(loaded))
    found = find_voids_many(loaded, items, alpha, phases=("pp",))
    return np.asarray(np.mean([voids.pp.mean(axis=0) for voids in found], axis=0))


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value, 0 for the smallest to 1 for the largest; equal values share the mean of their ranks."""
    below = (values[:, None] > values).sum(axis=1) + ((values[:, None] == values).sum(axis=1) - 1) / 2
    return np.asarray(below / max(1, len(values) - 1))
