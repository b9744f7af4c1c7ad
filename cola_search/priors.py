"""Per-layer priors: tables [L, 3] with the probability that a layer is skipped, kept, or repeated."""

from collections.abc import Sequence

import numpy as np

from cola_search.chain import Chain
from cola_search.errors import UserError

SKIP, KEEP, REPEAT = 0, 1, 2


def uniform(num_layers: int, hazard: float = 0.1, skip_share: float = 0.85) -> np.ndarray:
    """The table [L, 3] that edits every layer with probability `hazard`, by a skip in a share `skip_share` of that."""
    return np.tile([hazard * skip_share, 1 - hazard, hazard * (1 - skip_share)], (num_layers, 1))


def check_table(table: np.ndarray, num_layers: int) -> np.ndarray:
    """The table as float64 [L, 3]. Raises UserError if it is not a table of probabilities for num_layers layers."""
    table = np.asarray(table, dtype=np.float64)
    if table.shape != (num_layers, 3):
        raise UserError(f"prior: the table has shape {table.shape}, but the model needs ({num_layers}, 3).")
    if not np.isfinite(table).all() or (table < 0).any() or not np.allclose(table.sum(axis=1), 1, atol=1e-6):
        raise UserError("prior: every row (skip, keep, repeat) of the table must be probabilities that sum to 1.")
    if (table[:, KEEP] <= 0).any():
        raise UserError(
            f"prior: layer {int(table[:, KEEP].argmin())} is never kept; keep must be above 0 for every layer."
        )
    return table


def from_skip_scores(
    scores: np.ndarray, hazard: float = 0.1, skip_share: float = 0.85, floor: float = 0.1
) -> np.ndarray:
    """The table [L, 3] with the skips of `uniform` spent on layers in proportion to their scores [L], as void shares.

    A share `floor` of the skips stays uniform, so no layer is ruled out; scores that are all 0 give the uniform table.
    No layer is skipped with probability above 0.9. Source of the scores: LAC (arxiv.org/abs/2505.14467).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all() or (scores < 0).any():
        raise UserError("prior: the skip scores must be one finite number of at least 0 for each layer.")
    table = uniform(len(scores), hazard, skip_share)
    if scores.sum() > 0:
        relative = floor + (1 - floor) * scores / scores.mean()
        table[:, SKIP] = np.minimum(table[:, SKIP] * relative, 0.9 * (1 - table[:, REPEAT]))
        table[:, KEEP] = 1 - table[:, SKIP] - table[:, REPEAT]
    return table


def learn_table(
    chains: Sequence[Chain], num_layers: int, hazard: float = 0.1, skip_share: float = 0.85, strength: float = 20.0
) -> np.ndarray:
    """The table [L, 3] of how often `chains`, found for earlier samples, skip, run once and repeat each layer.

    The uniform table counts as `strength` chains, so few chains change little.
    """
    counts = uniform(num_layers, hazard, skip_share) * strength
    for chain in chains:
        runs = np.array(chain.counts(num_layers))
        counts[np.arange(num_layers), np.select([runs == 0, runs == 1], [SKIP, KEEP], REPEAT)] += 1
    table: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return table
