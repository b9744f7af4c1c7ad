"""How much memory is free, by what Linux says of the machine and of its containers."""

from pathlib import Path

import pytest
import torch

from cola_search.model import free_memory as module
from cola_search.model.free_memory import free_memory

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "PROC", tmp_path / "proc")
    monkeypatch.setattr(module, "CGROUPS", tmp_path / "cgroup")
    write(tmp_path / "proc" / "meminfo", "MemTotal: 16000 kB\nMemFree: 100 kB\nMemAvailable: 8000 kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_it_is_what_is_available_and_not_what_nobody_uses(root: Path) -> None:
    assert free_memory(CPU) == 8000 * 1024


def test_the_limit_of_a_container_counts_and_its_file_cache_does_not(root: Path) -> None:
    write(root / "proc" / "self" / "cgroup", "0::/pods/one\n")
    for group, limit in (("pods/one", "max"), ("pods", "1000000"), ("", "9000000000")):
        write(root / "cgroup" / group / "memory.max", limit + "\n")
        write(root / "cgroup" / group / "memory.current", "700000\n")
        write(root / "cgroup" / group / "memory.stat", "anon 500000\ninactive_file 150000\n")
    assert free_memory(CPU) == 450_000


def test_the_limit_of_an_old_container_counts_too(root: Path) -> None:
    write(root / "proc" / "self" / "cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/x\n0::/\n")
    group = root / "cgroup" / "memory"  # a container sees its own group as the root
    write(group / "memory.limit_in_bytes", "1000000\n")
    write(group / "memory.usage_in_bytes", "400000\n")
    write(group / "memory.stat", "total_inactive_file 100000\n")
    assert free_memory(CPU) == 700_000


def test_there_is_some_here() -> None:
    assert free_memory(CPU) > 1_000_000
