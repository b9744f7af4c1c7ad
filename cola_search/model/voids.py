"""Voids: the layers that do not move the residual norm enough for a token (LAC, arxiv.org/abs/2505.14467).

With n_l the L2 norm of the residual stream after layer l, and n_(-1) that of the embeddings:

    d_l = n_l - n_(l-1),    layer l is a void for the token iff d_l < alpha * (max_{j<l} d_j - min_{j<l} d_j)

The threshold of layer 0, which has no layers before it, is 0, and so is that of layer 1. Differs from the released code:
all of it is computed in float32, and layer 0 never looks at other samples of the batch. change=absolute takes |d_l| in the
place of d_l on both sides, after the first LAC (for models trained with it); there the range is over the whole batch, with zeros
for the layers to come, and the first void ends the pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from cola_search.errors import UserError
from cola_search.model.answers import StopWatch
from cola_search.model.caches import keeps_a_cache, without_cache
from cola_search.model.layer_watch import LayerWatch, watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Encoded, Stock
from cola_search.model.stock_generation import generate_batch, pad

Phase = Literal["pp", "rg"]
Change = Literal["signed", "absolute"]

ANSWER_TOKENS = 16
"""Tokens generated for RG where the task itself generates none."""


@dataclass(frozen=True)
class Trace:
    """What the layers did to the tokens of one phase.

    tokens: the text of each token.
    norms: float32 `[tokens, L + 1]`, of the embeddings and after every layer.
    thresholds: float32 `[tokens, L]`.
    voids: bool `[tokens, L]`, True = void.
    """

    tokens: list[str]
    norms: np.ndarray
    thresholds: np.ndarray
    voids: np.ndarray


@dataclass(frozen=True)
class Voids:
    """The voids of one sample: PP is its prompt, RG the answer that the model generates greedily, one row a token.

    A phase that was not asked for has no rows.
    """

    prompt: Trace
    response: Trace
    alpha: float
    change: Change

    @property
    def pp(self) -> np.ndarray:
        """Bool `[prompt tokens, L]`, True = void."""
        return self.prompt.voids

    @property
    def rg(self) -> np.ndarray:
        """Bool `[generated tokens, L]`, True = void."""
        return self.response.voids


@dataclass
class Criterion:
    """LAC's criterion, told of the layers of a forward pass one after the other. The range starts afresh with layer 0."""

    alpha: float
    change: Change
    high: Tensor | None = None
    low: Tensor | None = None

    def judge(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the next layer is a void, and its threshold, from the norms before and after it, all `[...]`."""
        moved = after - before
        if self.change == "absolute":
            moved = moved.abs()
        if self.high is None or self.low is None:
            threshold = torch.zeros_like(moved)
            self.high = self.low = moved
        else:
            threshold = self.alpha * (self.high - self.low)
            self.high, self.low = torch.maximum(self.high, moved), torch.minimum(self.low, moved)
        return moved < threshold, threshold


def judge_norms(norms: Tensor, alpha: float = 0.8, change: Change = "signed") -> tuple[Tensor, Tensor]:
    """Voids and thresholds `[..., L]` of norms `[..., L + 1]`."""
    criterion = Criterion(alpha, change)
    steps = [criterion.judge(norms[..., layer], norms[..., layer + 1]) for layer in range(norms.shape[-1] - 1)]
    return torch.stack([void for void, _ in steps], -1), torch.stack([threshold for _, threshold in steps], -1)


def norm(hidden: Tensor) -> Tensor:
    """L2 norm `[B, n]` in float32 of hidden states `[B, n, d]` of any dtype."""
    return torch.linalg.vector_norm(hidden, dim=-1, dtype=torch.promote_types(hidden.dtype, torch.float32)).float()


class NormRecorder(LayerWatch):
    """Keeps the norms of every forward pass: per pass `[B, n, L + 1]`."""

    def __init__(self) -> None:
        self._passes: list[list[Tensor]] = []

    def start(self, call: dict[str, Any]) -> None:
        self._passes.append([])

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> None:
        if index == 0:
            self._passes[-1].append(norm(hidden))
        self._passes[-1].append(norm(output))

    @property
    def passes(self) -> list[Tensor]:
        """The norms of the passes so far, in order."""
        return [torch.stack(norms, -1) for norms in self._passes]


def find_voids(
    model: LoadedModel,
    sample: Any,
    alpha: float = 0.8,
    *,
    phases: Sequence[Phase] = ("pp", "rg"),
    change: Change = "signed",
    max_new_tokens: int | None = None,
) -> Voids:
    """The voids of a sample (an item of a task, or a text): in its prompt (PP) and in the answer to it (RG).

    The prompt is the context of the first request. PP alone is one forward pass; RG generates greedily with the model's own
    cache, and without one under a chain of a hybrid family that has no attention layer, at most `max_new_tokens`: what the
    task allows, or 16 where it generates nothing. `change` says whether the change of the norm is taken with its sign (Void)
    or without (after the first LAC; see the module).

    Raises UserError: alpha outside (0, 1], an empty prompt or one that the model's context does not hold, a model whose layers
    do not return the residual stream.
    """
    return next(iter_voids(model, [sample], alpha, phases=phases, change=change, max_new_tokens=max_new_tokens))


def find_voids_many(model: LoadedModel, samples: Sequence[Any], alpha: float = 0.8, **options: Any) -> list[Voids]:
    """`find_voids` of every sample, in order, in batches of `batch_size`; what shares a batch does not matter."""
    return list(iter_voids(model, samples, alpha, **options))


def iter_voids(
    model: LoadedModel,
    samples: Sequence[Any],
    alpha: float = 0.8,
    *,
    phases: Sequence[Phase] = ("pp", "rg"),
    change: Change = "signed",
    max_new_tokens: int | None = None,
    batch_size: int = 16,
) -> Iterator[Voids]:
    """`find_voids` of every sample, in order, as their batches are done."""
    check_rule(alpha, phases, change)
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size} must be at least 1.")
    stock = Stock(model)
    prompts = [encode(stock, sample, max_new_tokens, respond="rg" in phases) for sample in samples]
    for start in range(0, len(prompts), batch_size):
        for prompt, answer, norms in trace(model, prompts[start : start + batch_size], "rg" in phases):
            split = len(prompt)
            pp, rg = (norms[:split], norms[split:])
            yield Voids(
                _trace(model, prompt if "pp" in phases else [], pp, alpha, change),
                _trace(model, answer, rg, alpha, change),
                alpha,
                change,
            )


def check_rule(alpha: float, phases: Sequence[str], change: str) -> None:
    """Raises UserError for a rule that does not exist."""
    if not 0 < alpha <= 1:
        raise UserError(f"alpha={alpha} must lie above 0 and be at most 1; the paper's is 0.8.")
    if change not in get_args(Change):
        raise UserError(f"change={change} is not one of {', '.join(get_args(Change))}.")
    if not phases or isinstance(phases, str) or not set(phases) <= set(get_args(Phase)):
        raise UserError(f"phases={phases!r} must be a list with pp (the prompt), rg (the generated answer) or both.")


def encode(stock: Stock, sample: Any, max_new_tokens: int | None = None, respond: bool = False) -> Encoded:
    """The prompt of a sample or text in tokens, with the room for its answer, which `respond` makes at least a token.

    Raises UserError if there is no prompt, or one that the model's context does not hold.
    """
    text = sample if isinstance(sample, str) else sample.requests[0].args[0]
    name = "the text" if isinstance(sample, str) else f"sample {sample.id!r}"
    if not text.strip():
        raise UserError(f"{name} has an empty prompt, and voids are traced in a prompt: take another task or text.")
    if max_new_tokens is not None and max_new_tokens < 1:
        raise UserError(f"max_new_tokens={max_new_tokens} must be at least 1.")
    encoded = Encoded([stock.lm.tok_encode(text)], [[]], []) if isinstance(sample, str) else stock.encode(sample)
    bound = max_new_tokens or encoded.max_new_tokens or ANSWER_TOKENS
    room = stock.lm.max_length - len(encoded.contexts[0])
    if room < respond:
        raise UserError(
            f"{name} has a prompt of {len(encoded.contexts[0])} tokens and the model's context leaves room for "
            f"{stock.lm.max_length - respond}: take a shorter one or another model."
        )
    return replace(encoded, max_new_tokens=max(1, min(bound, room)))


def trace(
    model: LoadedModel, prompts: Sequence[Encoded], respond: bool
) -> Iterator[tuple[list[int], list[int], Tensor]]:
    """Per prompt its tokens, the answer's (none unless `respond`), and the norms `[tokens of both, L + 1]`."""
    hf, recorder = model.hf, NormRecorder()
    contexts = [prompt.contexts[0] for prompt in prompts]
    if respond and keeps_a_cache(hf):
        with watch_layers(hf, recorder):
            answers = _answers(model, prompts)
        norms, longest = torch.cat(recorder.passes, dim=1).cpu(), max(map(len, contexts))
        starts = [longest - len(context) for context in contexts]
    else:  # every pass reads all tokens anew, so the last one, over whole texts, tells as much as all
        with without_cache(hf):
            answers = _answers(model, prompts) if respond else [[] for _ in prompts]
        with watch_layers(hf, recorder):
            prompt_pass(hf, [context + answer for context, answer in zip(contexts, answers, strict=True)])
        norms, starts = recorder.passes[0].cpu(), [0] * len(prompts)
    for i, (context, answer, start) in enumerate(zip(contexts, answers, starts, strict=True)):
        yield context, answer, norms[i, start : start + len(context) + len(answer)]


def _answers(model: LoadedModel, prompts: Sequence[Encoded]) -> list[list[int]]:
    """The tokens that the model answers to each prompt, greedily and side by side."""
    watches = [StopWatch(None, prompt, model.tokenizer, model.hf) for prompt in prompts]
    return generate_batch(
        model.hf, [prompt.contexts[0] for prompt in prompts], lambda i, tokens: watches[i].done(tokens)
    )


@torch.inference_mode()
def prompt_pass(hf: PreTrainedModel, sequences: Sequence[list[int]]) -> None:
    """Runs all layers over token sequences, padded on the right, once and without the head; watch it with a LayerWatch."""
    ids, mask = pad(sequences, "right", hf.device)
    hf.base_model(input_ids=ids, attention_mask=mask, use_cache=False)


def _trace(model: LoadedModel, tokens: list[int], norms: Tensor, alpha: float, change: Change) -> Trace:
    norms = norms[: len(tokens)]
    voids, thresholds = judge_norms(norms, alpha, change)
    return Trace([str(model.tokenizer.decode([t])) for t in tokens], norms.numpy(), thresholds.numpy(), voids.numpy())
