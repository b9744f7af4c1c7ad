"""The C heap of a replica on a CPU: kept while it is used again and again, and given back where freed memory piles up.

Left to itself, glibc gives the top of the heap back after every layer and asks for it again, page by page, with the next one;
and what is freed between blocks that live on it never gives back, so that a process grows to several times what it holds.
"""

import ctypes
import os

import torch

SLACK = 2**28  # bytes that a process may grow by before what it has freed is given back
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names of these settings in mallopt (malloc.h)
LOOK_EVERY = 8  # calls: looking takes as long as a small operation
LARGEST_IN_HEAP = 2**25  # bytes of the largest block that comes from the heap; glibc takes no more


class Heap:
    """What this process takes of memory, kept near what it holds. Does nothing for a GPU, or where the C library is not glibc."""

    def __init__(self, device: torch.device) -> None:
        libc = ctypes.CDLL(None)
        self._calls = 0
        self._trim = getattr(libc, "malloc_trim", None) if device.type == "cpu" else None
        if self._trim is not None:
            libc.mallopt(MMAP_THRESHOLD, LARGEST_IN_HEAP)
            libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
            self._held = resident_bytes()

    def tidy(self) -> None:
        """Gives freed memory back if the process has grown by more than `SLACK` since that was last done; looks now and then."""
        self._calls += 1
        if self._trim is None or self._calls % LOOK_EVERY != 1:
            return
        size = resident_bytes()
        self._held = min(self._held, size)
        if size > self._held + SLACK:
            self._trim(0)
            self._held = resident_bytes()


def resident_bytes() -> int:
    """What this process holds of the machine's memory now (Linux)."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
