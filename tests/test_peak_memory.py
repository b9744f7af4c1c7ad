"""What the process of a replica takes on a CPU: the budget for kept states, and little beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEARCHED = """
import itertools, resource
import numpy as np
import torch
from families import tiny
from cola_search.model import heap
from cola_search.model.anatomy import Anatomy
from cola_search.model.executor import Executor
from cola_search.model.readout import Readout

torch.set_num_threads(1)
heap.SLACK = 2**24
anatomy = Anatomy(tiny("llama", hidden_size=256, vocab_size=500))
executor = Executor(anatomy, {budget}, samples_in_flight=4, max_batch_tokens=512)
readout = Readout(anatomy)

def answer(chains):
    items = [executor.open([list(range(5, 65))], [list(range(60))]) for _ in range(4)]
    for part in executor.parts([(item, chains) for item in items]):
        final = executor.run_part([(items[slot], some) for slot, some in part.items()])
        rows = torch.cat([state for states in final for state in states])
        at = np.arange(len(rows))
        readout.log_probs(rows, at, at % 500)
    for item in items:
        executor.close(item)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

chains = list(itertools.product(range(4), repeat=5))
answer(chains[:16])
before = peak()
answer(chains)
print(peak() - before, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count the peak in other units")
def test_the_rows_that_many_chains_leave_for_the_head_come_in_batches() -> None:
    """All 4,096 chains' rows at once would be 250 MB, and as much again where they are gathered for the head."""
    budget = 400_000_000
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", SEARCHED.format(budget=budget)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert int(done.stdout) < 400
