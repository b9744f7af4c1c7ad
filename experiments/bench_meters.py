"""The clock, the memory and the plain product that the engine's benchmarks measure by."""

import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch


def timed(model: Any, work: Any) -> float:
    """Seconds that the work takes, the device waited for."""
    synchronise(model)
    start = time.perf_counter()
    work()
    synchronise(model)
    return time.perf_counter() - start


def synchronise(model: Any) -> None:
    if next(model.hf.parameters()).is_cuda:
        torch.cuda.synchronize()


@torch.inference_mode()
def matmul_rate(model: Any) -> float:
    """Operations per second of a plain matrix product in the model's width, dtype and threads, with 1,024 rows (GPU: 16,384)."""
    weight = next(
        p
        for p in model.hf.parameters()
        if p.ndim == 2 and p.shape[1] == model.hf.config.hidden_size and p.shape[0] < 20000
    )
    rows = torch.randn(16384 if weight.is_cuda else 1024, weight.shape[1], dtype=weight.dtype, device=weight.device)
    seconds = statistics.median(timed(model, lambda: [rows @ weight.t() for _ in range(20)]) for _ in range(9)) / 20
    return 2 * rows.shape[0] * weight.numel() / seconds


def device_name(model: Any) -> str:
    if next(model.hf.parameters()).is_cuda:
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def forget_peak(model: Any) -> None:
    """The peak of memory counts from here on; where Linux does not allow that, from the start of the process."""
    if next(model.hf.parameters()).is_cuda:
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(model: Any) -> float:
    """Most memory, in MB, since `forget_peak`: the GPU's, or what the process had in RAM; the weights are in it."""
    if next(model.hf.parameters()).is_cuda:
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
