"""Skipping voids while a stock model runs. There are two ways, and they are two different models:

readout   what LAC's released code does: all layers run on the normal stream, and in the end each token hands the output of
          its last active layer to the final norm and the head (of no active layer: the embedding). Keys, values and all
          hidden states are the whole model's.
bypass    what the paper says: a void's update is left out of the residual stream of that token. Whether a layer is a void
          is decided on the way, from the norm of the stream as it is by then and what the layer would make of it; the range of
          earlier changes counts what layers that were left out would have made of it. The keys and values of a skipped
          (token, layer) are those that the layer makes of the unchanged stream, as for any token, so that later tokens can
          attend to it.

Neither saves time: layers run and are masked, as in the released code. Source: arxiv.org/abs/2505.14467.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from cola_search.errors import UserError
from cola_search.model.caches import CACHE_NAMES, holds_tokens
from cola_search.model.layer_watch import LayerWatch, watch_layers
from cola_search.model.surgery import find_layers
from cola_search.model.voids import Change, Criterion, Phase, check_rule, norm

How = Literal["readout", "bypass"]


class Skipping(LayerWatch):
    """Skips voids in every forward pass of a model.

    passes: per forward pass, in order, what was skipped, bool `[B, n, L]`; kept if `record`. Padding is in there too.
    response: bool `[B, n]`, which tokens of the next pass belong to the answer (RG); forgotten after that pass.
    """

    def __init__(
        self, num_layers: int, alpha: float, how: How, phases: Sequence[Phase], change: Change, record: bool = False
    ) -> None:
        self.num_layers, self.alpha, self.how, self.change = num_layers, alpha, how, change
        self.phases, self.record = frozenset(phases), record
        self.passes: list[Tensor] = []
        self.response: Tensor | None = None

    def start(self, call: dict[str, Any]) -> None:
        cache = next((call[name] for name in CACHE_NAMES if call.get(name) is not None), None)
        self._decoding = cache is not None and holds_tokens(cache)
        self._criterion = Criterion(self.alpha, self.change)
        self._skipped: list[Tensor] = []

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> Tensor | None:
        void, _ = self._criterion.judge(norm(hidden), norm(output))
        if index == 0:
            self._allowed = self._phase_mask(void)
            self._last_active = hidden
        void &= self._allowed
        self._skipped.append(void)
        last = index == self.num_layers - 1
        if last and self.record:
            self.passes.append(torch.stack(self._skipped, -1))
        if self.how == "bypass":
            return torch.where(void[..., None], hidden, output)
        self._last_active = torch.where(void[..., None], self._last_active, output)
        return self._last_active if last else None

    def _phase_mask(self, like: Tensor) -> Tensor:
        """Bool `[B, n]`: the tokens whose phase is one that skips."""
        response = torch.full_like(like, self._decoding) if self.response is None else self.response.to(like.device)
        self.response = None
        return torch.where(response, "rg" in self.phases, "pp" in self.phases)


@contextmanager
def skip_voids(
    hf: PreTrainedModel,
    alpha: float = 0.8,
    how: How = "readout",
    *,
    phases: Sequence[Phase] = ("pp", "rg"),
    change: Change = "signed",
    record: bool = False,
) -> Iterator[Skipping]:
    """Until the block ends, `hf` skips the voids of the phases in every forward pass: `generate`, scoring, anything.

    A pass that finds tokens in its cache is RG, any other is PP. Where an answer is scored in the same pass as its
    prompt, set `response` of what the block is given before the pass; else all tokens of it count as PP. With a chain:
    `with apply_chain(hf, chain), skip_voids(hf)`. Raises UserError for a rule that does not exist.
    """
    check_rule(alpha, phases, change)
    if how not in get_args(How):
        raise UserError(f"how={how} is not one of {', '.join(get_args(How))}.")
    skipping = Skipping(len(find_layers(hf)[1]), alpha, how, phases, change, record)
    with watch_layers(hf, skipping):
        yield skipping


def last_active(voids: Tensor) -> Tensor:
    """Per token the index into (embedding, output of layer 0, ...) that `readout` takes, `[...]`, from voids `[..., L]`."""
    places = torch.arange(1, voids.shape[-1] + 1, device=voids.device)
    return torch.where(voids, 0, places).amax(-1)
