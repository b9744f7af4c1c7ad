"""Log-probabilities of wanted tokens from final hidden rows, without a float copy of all logits."""

import itertools

import torch
from torch import Tensor

from cola_search.model.anatomy import Anatomy

HEAD_ROWS = 256  # rows in one head product on a CPU: enough to reach the product's full rate
HEAD_LOGITS = 2**26  # logits in one head product on a GPU, which come in float32 too: 256 MB
SOFTMAX_LOGITS = 2**20  # logits in one float softmax on a CPU: what stays in cache, 4 MB


class Readout:
    """Turns final rows into log-probabilities; keeps its scratch memory, since fresh pages cost more than the arithmetic."""

    def __init__(self, anatomy: Anatomy):
        self.anatomy = anatomy
        self._logits: Tensor | None = None
        self._logp: Tensor | None = None

    @torch.inference_mode()
    def log_probs(self, rows: Tensor, at: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of `tokens` `[P]` after rows `at` `[P]` of final states `[N, d]`, and its logit's lead, float32 `[P]`.

        The lead is the token's logit less the largest one: 0 for the greedy token, else below 0.
        """
        values, leads = [], []
        size = HEAD_ROWS if rows.device.type == "cpu" else max(1, HEAD_LOGITS // self.anatomy.vocabulary)
        order = torch.argsort(at, stable=True)
        at, tokens = at[order], tokens[order]
        bounds = torch.searchsorted(at, torch.arange(0, len(rows) + size, size, device=at.device)).tolist()
        for k, (first, last) in enumerate(itertools.pairwise(bounds)):
            if first == last:
                continue
            logits = self.anatomy.logits(rows[k * size : (k + 1) * size])
            local = at[first:last] - k * size
            wanted = logits[local, tokens[first:last]].float()
            normaliser, largest = self.normaliser(logits)
            values.append(wanted - normaliser[local])
            leads.append(wanted - largest[local])
        back = torch.argsort(order)
        return torch.cat(values)[back], torch.cat(leads)[back]

    def normaliser(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """log sum exp and the largest of logits `[N, V]`, both float32 `[N]`."""
        if logits.device.type != "cpu":
            return torch.logsumexp(logits.float(), -1), logits.amax(-1).float()
        size = max(1, SOFTMAX_LOGITS // logits.shape[1])
        if self._logits is None or self._logits.shape[1] != logits.shape[1]:
            self._logits = torch.empty(size, logits.shape[1])
            self._logp = torch.empty_like(self._logits)
        assert self._logp is not None
        result, largest = torch.empty(2, len(logits))
        for start in range(0, len(logits), size):
            part = logits[start : start + size]
            block, logp = self._logits[: len(part)], self._logp[: len(part)]
            block.copy_(part)
            torch.log_softmax(block, -1, out=logp)
            here = slice(start, start + len(part))
            largest[here] = block.amax(-1)
            result[here] = largest[here] - logp.amax(-1)
        return result, largest
