"""What identifies weights."""

import os
import shutil
from pathlib import Path

import pytest

from cola_search.model import weights_digest as digest
from cola_search.model.weights_digest import weights_digest


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.mark.parametrize("whole_bytes", [2**26, 1000])
def test_weights_of_the_same_size_and_time_are_told_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int
) -> None:
    monkeypatch.setattr(digest, "WHOLE_BYTES", whole_bytes)
    monkeypatch.setattr(digest, "BLOCK_BYTES", 64)
    before, file = weights_digest(folder), folder / "model.safetensors"
    status, data = file.stat(), file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(b ^ 1 for b in data[len(data) // 2 :]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert weights_digest(folder) != before


def test_a_copy_on_another_machine_is_the_same_model(folder: Path, tiny_folder: Path) -> None:
    os.utime(folder / "model.safetensors", (1, 1))
    (folder / "notes.md").write_text("nobody loads this")
    assert weights_digest(folder) == weights_digest(tiny_folder)
