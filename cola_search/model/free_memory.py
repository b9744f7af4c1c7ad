"""How much memory is free for a process: of its GPU, or of the machine and the containers (cgroups) that it runs in."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_of_the_machine(), *_of_the_cgroups()])


def _of_the_machine() -> int:
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _of_the_cgroups() -> list[int]:
    """What is left below the limit of every group that holds this process, of both versions."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[int | None] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        groups = [Path(path), *Path(path).parents]
        if number == "0":
            found += [_left(CGROUPS / str(group)[1:], "memory.max", "memory.current") for group in groups]
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes"
            found += [_left(CGROUPS / "memory" / str(group)[1:], *names) for group in groups]
    return [left for left in found if left is not None]


def _left(group: Path, limit: str, usage: str) -> int | None:
    """Limit less usage, without the file cache that the kernel gives back; None where there is no limit."""
    try:
        most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if most == "max":
        return None
    cache = dict(line.split() for line in lines)
    return max(0, int(most) - used + int(cache.get("total_inactive_file", cache.get("inactive_file", 0))))


def fits(run: Callable[[], None], alone: bool) -> bool:
    """Runs a batch; False where memory does not suffice for it, with what it held given back.

    alone: the batch cannot be made smaller, so that OutOfMemoryError is raised.
    """
    try:
        run()
        return True
    except torch.OutOfMemoryError:
        if alone:
            raise
    # outside of the except block, where the failed call's tensors are still held
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False
