"""Which position sees which in a layer, as the family's own masks say: causal, a sliding window, chunks."""

import torch
from torch import Tensor

from cola_search.model.anatomy import Anatomy

KEPT_LENGTHS = 4  # of 4,096 positions a window's rule takes 16 MB, and to learn it again some milliseconds


class LayerRules:
    """The rules of one model's layers, learnt from the masks that it hands to them."""

    def __init__(self, anatomy: Anatomy):
        self.anatomy = anatomy
        self._positions = getattr(anatomy.hf.config.get_text_config(decoder=True), "max_position_embeddings", None)
        self._known: dict[int, list[Tensor | None]] = {}

    def of(self, length: int) -> list[Tensor | None]:
        """Per layer bool `[length+, length+]` of which position sees which in this family, None for plain causal."""
        size = -(-length // 64) * 64
        if self._positions is not None:  # learned ones end there
            size = max(length, min(size, self._positions))
        if size not in self._known:
            ids = torch.zeros(1, size, dtype=torch.long, device=self.anatomy.device)
            at = torch.arange(size, device=self.anatomy.device)[None]
            shared: dict[int, Tensor] = {}
            rules: list[Tensor | None] = []
            for mask in self.anatomy.watch_calls(ids, at).masks:
                if mask is None:
                    rules.append(None)
                    continue
                plain = mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] == 0
                rules.append(shared.setdefault(id(mask), plain))
            if len(self._known) == KEPT_LENGTHS:
                del self._known[next(iter(self._known))]
            self._known[size] = rules
        return self._known[size]

    def masks(self, sees: Tensor, positions: Tensor, length: int) -> tuple[list[Tensor], list[int]]:
        """What packed rows see: their own prefixes, and of these what the family allows by position.

        `sees` is bool `[1, 1, n, n]`, `positions` `[n]`, all below `length`. The tensors, and per layer which of them.
        """
        seen: list[Tensor] = []
        index: list[int] = []
        known: dict[int, int] = {}
        for rule in self.of(length):
            if id(rule) not in known:
                known[id(rule)] = len(seen)
                seen.append(sees if rule is None else sees & rule[positions][:, positions])
            index.append(known[id(rule)])
        return seen, index
