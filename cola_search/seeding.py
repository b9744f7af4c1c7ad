"""Where chance enters a run: one generator for each use of each sample."""

import hashlib

import numpy as np

SEARCH, DECOY, RANDOM, TARGET, PASS, SHUFFLE, TRANSFER = range(7)


def generator(seed: int, sample_id: str, use: int) -> np.random.Generator:
    """The generator of one use of one sample: it follows from the run's seed and the sample's id alone."""
    digest = hashlib.sha256(sample_id.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(digest, "big"), use])
