"""Many samples' answers, and the layers used for them, with and without skipping voids (arxiv.org/abs/2505.14467).

The layers of `readout` run on the normal stream, so that one pass over a batch scores the untouched model and `readout` for
any number of alphas. `bypass` is another stream, and takes a pass for each alpha.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cola_search.model.anatomy import Anatomy
from cola_search.model.answers import StopWatch
from cola_search.model.layer_watch import LayerWatch, watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.readout import Readout
from cola_search.model.stock import Encoded
from cola_search.model.stock_generation import Choose, generate_batch, pad
from cola_search.model.void_skipping import Skipping, last_active
from cola_search.model.voids import Change, Phase, judge_norms, norm, prompt_pass, trace


@dataclass(frozen=True)
class Variant:
    """One way to run a model: untouched (`none`), or with its voids skipped."""

    how: Literal["none", "readout", "bypass"]
    alpha: float = 0.8
    phases: tuple[Phase, ...] = ("pp", "rg")
    change: Change = "signed"


@dataclass(frozen=True)
class Used:
    """How many tokens of a phase used each layer.

    tokens: tokens of the phase.
    layers: of these, how many did not skip the layer, `[L]`.
    """

    tokens: int
    layers: np.ndarray

    @classmethod
    def of(cls, skipped: Tensor | np.ndarray) -> "Used":
        """From bool `[tokens, L]`, True = skipped."""
        return cls(len(skipped), np.asarray(~skipped).sum(axis=0))


@dataclass(frozen=True)
class Generated:
    """The answer to one prompt, and what was used for prompt and answer."""

    tokens: list[int]
    pp: Used
    rg: Used


class StreamKeeper(LayerWatch):
    """Keeps the residual stream `[R, d]` of wanted tokens in one forward pass: at every layer, or after the last one."""

    def __init__(self, rows: Tensor, columns: Tensor, last_only: bool) -> None:
        self.at = rows, columns
        self.last_only = last_only
        self.streams: list[Tensor] = []

    def start(self, call: dict[str, Any]) -> None:
        self.streams = []

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> None:
        if self.last_only:
            self.streams = [output]
            return
        if index == 0:
            self.streams.append(hidden[self.at])
        self.streams.append(output[self.at])

    def final(self) -> Tensor:
        """The stream after the last layer, `[R, d]`."""
        return self.streams[-1][self.at] if self.last_only else self.streams[-1]


@dataclass(frozen=True)
class Plan:
    """The distinct token sequences of a batch of samples, and what is read off them.

    sequences: token ids; options of one token share theirs.
    prompts: per sequence the length of the prompt it starts with.
    reads: the (sequence, position) whose next token is scored, each once, `[R]`.
    at, tokens: per scored token the index into `reads`, and the token, `[P]`.
    bounds: per request its first place in `tokens`, and the end, `[requests + 1]`.
    requests: how many requests each sample has.
    """

    sequences: list[list[int]]
    prompts: list[int]
    reads: list[tuple[int, int]]
    at: list[int]
    tokens: list[int]
    bounds: list[int]
    requests: list[int]

    @classmethod
    def of(cls, samples: Sequence[Encoded]) -> "Plan":
        """The plan for the requests of samples."""
        plan = cls([], [], [], [], [], [0], [len(sample.contexts) for sample in samples])
        rows: dict[tuple[tuple[int, ...], int], int] = {}
        places: dict[tuple[int, int], int] = {}
        for sample in samples:
            for context, continuation in zip(sample.contexts, sample.continuations, strict=True):
                sequence = tuple(context + continuation[:-1])
                row = rows.setdefault((sequence, len(context)), len(rows))
                if row == len(plan.sequences):
                    plan.sequences.append(list(sequence))
                    plan.prompts.append(len(context))
                for k, token in enumerate(continuation):
                    place = places.setdefault((row, len(context) - 1 + k), len(places))
                    plan.at.append(place)
                    plan.tokens.append(token)
                plan.bounds.append(len(plan.tokens))
        plan.reads.extend(places)
        return plan

    def where(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows and columns `[R]` of the reads."""
        rows, columns = torch.tensor(self.reads, device=device).T
        return rows, columns

    def response(self, device: torch.device) -> Tensor:
        """Bool `[B, n]`: the tokens of the padded sequences that belong to an answer."""
        columns = torch.arange(max(map(len, self.sequences)), device=device)
        return columns >= torch.tensor(self.prompts, device=device)[:, None]


class VoidRunner:
    """Answers batches of samples with one model, in any variant."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._head = Readout(Anatomy(model.hf))

    @torch.inference_mode()
    def score(self, samples: Sequence[Encoded], variants: Sequence[Variant]) -> list[list[list[tuple[float, bool]]]]:
        """Per variant and sample, (log-probability, whether it is the greedy one) of each option."""
        plan = Plan.of(samples)
        shared: Tensor | None = None
        scored = []
        for variant in variants:
            if variant.how == "bypass":
                rows = self._bypassed(plan, variant)
            else:
                shared = self._streams(plan) if shared is None else shared
                rows = self._read_out(plan, shared, variant)
            scored.append(self._responses(plan, rows))
        return scored

    def generate(
        self, samples: Sequence[Encoded], variant: Variant, choose: Choose | None = None, respond: bool = True
    ) -> list[Generated]:
        """Per sample the answer to its first prompt, with what it used; without `respond` prompts are read only."""
        contexts = [sample.contexts[0] for sample in samples]
        watches = [StopWatch(None, sample, self.model.tokenizer, self.model.hf) for sample in samples]
        side = "left" if respond else "right"
        answers: list[list[int]] = [[] for _ in samples]
        with self._skipping(variant) as skipping:
            if respond:
                answers = generate_batch(self.model.hf, contexts, lambda i, t: watches[i].done(t), choose)
            else:
                prompt_pass(self.model.hf, contexts)
        skipped = torch.cat(skipping.passes, dim=1).cpu()
        _, mask = pad(contexts, side, torch.device("cpu"))
        first = mask.argmax(1).tolist()
        generated = []
        for i, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
            split = first[i] + len(context)
            pp, rg = skipped[i, first[i] : split], skipped[i, split : split + len(answer)]
            generated.append(Generated(answer, Used.of(pp), Used.of(rg)))
        return generated

    def usage(
        self, samples: Sequence[Encoded], variants: Sequence[Variant], respond: bool
    ) -> Iterator[list[tuple[Used, Used]]]:
        """Per variant, what prompt and greedy answer of each sample use.

        For `readout` that is the untouched model's own answer, generated once for all alphas.
        """
        traced = None
        for variant in variants:
            if variant.how == "bypass":
                yield [(each.pp, each.rg) for each in self.generate(samples, variant, respond=respond)]
                continue
            traced = list(trace(self.model, samples, respond)) if traced is None else traced
            yield [self._used(len(prompt), norms, variant) for prompt, _, norms in traced]

    def _used(self, split: int, norms: Tensor, variant: Variant) -> tuple[Used, Used]:
        voids, _ = judge_norms(norms, variant.alpha, variant.change)
        voids[:split] &= variant.how != "none" and "pp" in variant.phases
        voids[split:] &= variant.how != "none" and "rg" in variant.phases
        return Used.of(voids[:split]), Used.of(voids[split:])

    @contextmanager
    def _skipping(self, variant: Variant) -> Iterator[Skipping]:
        """The model as the variant wants it; the untouched one is watched too, and skips nothing."""
        phases = () if variant.how == "none" else variant.phases
        how = "readout" if variant.how == "none" else variant.how
        skipping = Skipping(self.model.num_layers, variant.alpha, how, phases, variant.change, record=True)
        with watch_layers(self.model.hf, skipping):
            yield skipping

    def _streams(self, plan: Plan) -> Tensor:
        """The stream `[L + 1, R, d]` of what is read, in the untouched model."""
        keeper = StreamKeeper(*plan.where(self.model.hf.device), last_only=False)
        with watch_layers(self.model.hf, keeper):
            prompt_pass(self.model.hf, plan.sequences)
        return torch.stack(keeper.streams)

    def _bypassed(self, plan: Plan, variant: Variant) -> Tensor:
        """The final stream `[R, d]` of what is read, with voids bypassed."""
        device = self.model.hf.device
        keeper = StreamKeeper(*plan.where(device), last_only=True)
        with self._skipping(variant) as skipping, watch_layers(self.model.hf, keeper):
            skipping.response = plan.response(device)
            prompt_pass(self.model.hf, plan.sequences)
        return keeper.final()

    def _read_out(self, plan: Plan, streams: Tensor, variant: Variant) -> Tensor:
        """The rows `[R, d]` that the head reads: those of the last layer, or of each token's last active one."""
        if variant.how == "none":
            return streams[-1]
        voids, _ = judge_norms(norm(streams).T, variant.alpha, variant.change)
        rows, columns = plan.where(streams.device)
        response = plan.response(streams.device)[rows, columns]
        voids &= torch.where(response, "rg" in variant.phases, "pp" in variant.phases)[:, None]
        return streams[last_active(voids), torch.arange(streams.shape[1], device=streams.device)]

    def _responses(self, plan: Plan, rows: Tensor) -> list[list[tuple[float, bool]]]:
        values, _, greedy = self._head.log_probs(rows, np.array(plan.at), np.array(plan.tokens))
        values = values.astype(np.float64)
        pairs = [(float(values[a:b].sum()), bool(greedy[a:b].all())) for a, b in pairwise(plan.bounds)]
        ends = np.cumsum([0, *plan.requests])
        return [pairs[a:b] for a, b in pairwise(ends)]
