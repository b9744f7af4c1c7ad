"""The heap of a replica on a CPU; each test in a process of its own, for these are settings of the whole process."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from cola_search.model import heap
from cola_search.model.heap import Heap

LITTERED = """
import torch
from cola_search.model import heap
heap.SLACK = {slack}
mine = heap.Heap(torch.device("cpu"))
start = heap.resident_bytes()
large, living = [], []
for _ in range(200):  # a megabyte each, and between them something small that stays
    large.append(torch.ones(2**18))
    living.append(torch.ones(300))
large.clear()
mine.tidy()
print((heap.resident_bytes() - start) // 2**20)
"""


def megabytes_held(slack: int) -> int:
    """What a process still holds of 200 MB that it freed between blocks that live, after it was tidied."""
    script = LITTERED.format(slack=slack)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_was_freed_between_blocks_that_live_is_given_back_beyond_the_slack() -> None:
    assert megabytes_held(2**24) < 30


def test_below_the_slack_the_heap_is_kept_for_the_next_layer() -> None:
    assert megabytes_held(2**29) > 150


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_for_a_gpu_or_without_glibc_nothing_is_done(monkeypatch, device: str) -> None:
    other = SimpleNamespace() if device == "cpu" else SimpleNamespace(malloc_trim=pytest.fail, mallopt=pytest.fail)
    monkeypatch.setattr("ctypes.CDLL", lambda name: other)
    monkeypatch.setattr(heap, "SLACK", -(2**40))  # more than that is always held
    Heap(torch.device(device)).tidy()


def test_a_process_that_grows_is_tidied_within_a_few_calls(monkeypatch) -> None:
    trims: list[int] = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(malloc_trim=trims.append, mallopt=lambda *args: 1))
    held = Heap(torch.device("cpu"))
    monkeypatch.setattr(heap, "SLACK", -(2**40))  # more than that is always held
    for _ in range(2 * heap.LOOK_EVERY):
        held.tidy()
    assert len(trims) == 2
