"""Log-probabilities of wanted tokens from final hidden rows, without a float copy of all logits."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cola_search.model.anatomy import Anatomy
from cola_search.model.heap import LARGEST_IN_HEAP

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
    def log_probs(self, rows: Tensor, at: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of `tokens` `[P]` after rows `at` `[P]` of final states `[N, d]`: log-probability, lead (float32 `[P]`), if greedy.

        The lead is the token's logit less the largest one: 0 for the likeliest, else below 0. Of several equally likely ones
        the first is greedy, as in stock (bool `[P]`).
        """
        order = np.argsort(at, kind="stable")  # here and not on a GPU, which would have to finish the layers first
        at, tokens = at[order], tokens[order]
        first = np.diff(at, prepend=-1) > 0  # of the tokens after its row
        if first.sum() < len(rows):  # the head is run for no row that nothing is asked of
            rows = rows.index_select(0, torch.from_numpy(at[first]).to(rows.device, non_blocking=True))
            at = np.cumsum(first) - 1
        size = self._rows_at_once(rows)
        # allocated before the logits: a small block that is kept where a large one was freed makes the heap grow
        said = torch.empty(3, len(at), device=rows.device)
        for start, some in pieces(at, len(rows), size):
            logits = self.anatomy.logits(rows[start : start + size])
            said[0, some], said[1, some], said[2, some] = self._of_tokens(logits, at[some] - start, tokens[some])
        found = np.empty(said.shape, np.float32)
        found[:, order] = said.cpu().numpy()
        return found[0], found[1], found[2] > 0

    def _rows_at_once(self, rows: Tensor) -> int:
        """Rows of one head product. On a CPU their logits are to come from the heap: fresh pages each time take a tenth."""
        if rows.device.type != "cpu":
            return max(1, HEAD_LOGITS // self.anatomy.vocabulary)
        return max(1, min(HEAD_ROWS, LARGEST_IN_HEAP // (self.anatomy.vocabulary * rows.dtype.itemsize) - 1))

    def _of_tokens(self, logits: Tensor, at: np.ndarray, tokens: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """As `log_probs`, for tokens `[P]` at rows `at` `[P]`, in order, of logits `[N, V]`."""
        if logits.device.type != "cpu":
            row, token = (torch.from_numpy(index).to(logits.device, non_blocking=True) for index in (at, tokens))
            wanted, best = logits[row, token].float(), logits.max(-1)
            leads = wanted - best.values.float()[row]
            return wanted - torch.logsumexp(logits.float(), -1)[row], leads, token == best.indices[row]
        size = max(1, SOFTMAX_LOGITS // logits.shape[1])
        if self._logits is None or self._logits.shape[1] != logits.shape[1]:
            self._logits = torch.empty(size, logits.shape[1])
            self._logp = torch.empty_like(self._logits)
        assert self._logp is not None
        within = torch.from_numpy(at % size * logits.shape[1] + tokens)  # in the block that the row is part of
        values, leads = torch.empty(2, len(at))
        greedy = torch.zeros(len(at), dtype=torch.bool)
        for start, some in pieces(at, len(logits), size):
            part = logits[start : start + size]
            block, logp = self._logits[: len(part)], self._logp[: len(part)]
            block.copy_(part)
            torch.log_softmax(block, -1, out=logp)
            torch.take(logp, within[some], out=values[some])
            torch.sub(values[some], torch.amax(logp, -1)[torch.from_numpy(at[some] - start)], out=leads[some])
            for p in (torch.nonzero(leads[some] == 0)[:, 0] + some.start).tolist():
                greedy[p] = _is_first(logp[at[p] - start], int(tokens[p]))
        return values, leads, greedy


def _is_first(row: Tensor, token: int) -> bool:
    """Whether no token before a likeliest one of the row `[V]` is as likely: argmax would take ten times as long as amax."""
    return token == 0 or bool(row[:token].amax() < row[token])


def pieces(at: np.ndarray, num_rows: int, size: int) -> Iterator[tuple[int, slice]]:
    """Where each piece of `size` rows begins, and which of the tokens, whose rows are `at` `[P]`, in order, come after its rows.

    Pieces that no token comes after are left out.
    """
    bounds = np.searchsorted(at, np.arange(0, num_rows + size, size)).tolist()
    for k, (first, last) in enumerate(itertools.pairwise(bounds)):
        if first < last:
            yield k * size, slice(first, last)
