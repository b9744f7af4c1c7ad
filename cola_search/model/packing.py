"""Many token sequences as one: every distinct token prefix is one row, and a row sees its own prefixes only.

The options of a multiple-choice item share their prompt (and any first tokens), so the prompt is computed once for all of
them. Positions are those of the separate sequences, so each sequence is computed as if it were alone.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Packed:
    """Sequences merged into a token tree of n rows.

    ids: token ids `[n]`.
    positions: position of each row in its own sequence `[n]`.
    sees: bool `[n, n]`, True where a row (first axis) may attend.
    rows: per sequence the rows of its tokens, in order.
    """

    ids: np.ndarray
    positions: np.ndarray
    sees: np.ndarray
    rows: list[list[int]]


def scored_sequences(
    contexts: list[list[int]], continuations: list[list[int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Each context with its continuation but the last token of it, and the positions after which tokens are scored.

    Where there is no continuation, the end of the context is read.
    """
    pairs = list(zip(contexts, continuations, strict=True))
    sequences = [(context + continuation)[: -1 if continuation else None] for context, continuation in pairs]
    reads = [list(range(len(context) - 1, len(s))) for context, s in zip(contexts, sequences, strict=True)]
    return sequences, reads


def pack(sequences: list[list[int]]) -> Packed:
    """The token tree of the sequences; a single sequence comes out as itself with a causal mask."""
    ids: list[int] = []
    parents: list[int] = []
    depth: list[int] = []
    known: dict[tuple[int, int], int] = {}
    rows = []
    for sequence in sequences:
        row, path = -1, []
        for position, token in enumerate(sequence):
            key = (row, token)
            if key not in known:
                known[key] = len(ids)
                ids.append(token)
                parents.append(row)
                depth.append(position)
            row = known[key]
            path.append(row)
        rows.append(path)
    sees = np.eye(len(ids), dtype=bool)
    for row, parent in enumerate(parents):
        if parent >= 0:
            sees[row] |= sees[parent]
    return Packed(np.array(ids, dtype=np.int64), np.array(depth, dtype=np.int64), sees, rows)
