"""experiments/cells.py what is measured once stays."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import cells
import pytest


def arguments(path: Path) -> Namespace:
    return Namespace(out=path, device="auto", dtype="auto", memory="50MB", threads=1, processes=1)


def test_what_is_in_the_file_is_not_measured_again_and_a_failed_cell_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells.os, "environ", dict(cells.os.environ))
    asked: list[int] = []

    def work(cell: dict[str, Any]) -> dict[str, Any]:
        asked.append(cell["x"])
        if cell["x"] == 2 and asked.count(2) == 1:
            raise RuntimeError("once")
        return {"square": cell["x"] ** 2}

    out, todo = tmp_path / "rows.jsonl", [{"x": x} for x in (1, 2, 3)]
    first = cells.run_cells(todo, work, arguments(out))
    assert [row["square"] for row in first] == [1, 9]
    with out.open("a") as file:
        file.write('{"x": 9, "squ')  # a command that was killed while it wrote
    second = cells.run_cells(todo, work, arguments(out))
    assert [row["square"] for row in second] == [1, 4, 9]
    cells.run_cells(todo, work, arguments(out))
    assert asked == [1, 2, 3, 2]


def test_rows_of_one_command_may_go_to_several_files_and_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells.os, "environ", dict(cells.os.environ))
    asked: list[int] = []
    todo = [{"x": x} for x in (1, 2, 3)]
    for _ in range(2):
        told = cells.run_cells(
            todo,
            lambda cell: asked.append(cell["x"]) or {"square": cell["x"] ** 2},
            arguments(tmp_path / "rows.jsonl"),
            lambda cell: tmp_path / f"rows_{cell['x'] % 2}.jsonl",
        )
        assert [row["square"] for row in told] == [1, 4, 9]
    assert asked == [1, 2, 3]
    assert {path.name: len(cells.read_rows(path)) for path in tmp_path.iterdir()} == {
        "rows_0.jsonl": 1,
        "rows_1.jsonl": 2,
    }


def test_work_that_returns_another_value_for_a_key_of_its_cell_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells.os, "environ", dict(cells.os.environ))
    with pytest.raises(ValueError, match="items"):
        cells.run_cells([{"items": 9}], lambda cell: {"items": {"held_out": 9}}, arguments(tmp_path / "rows.jsonl"))
    assert cells.run_cells([{"items": 9}], lambda cell: {"items": 9}, arguments(tmp_path / "rows.jsonl"))


def test_a_row_of_another_type_or_device_is_measured_anew_and_an_old_one_counts_as_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells.os, "environ", dict(cells.os.environ))
    out = tmp_path / "rows.jsonl"
    out.write_text('{"x": 1, "dtype": "bfloat16", "device": "CPU"}\n')
    asked: list[str] = []

    def work(cell: dict[str, Any]) -> dict[str, Any]:
        asked.append(f"{cells.os.environ['CELLS_DTYPE']} {cells.os.environ['CELLS_DEVICE']}")
        return {"dtype": asked[-1]}

    for dtype, device in (("auto", "auto"), ("float32", "auto"), ("float32", "cpu"), ("float32", "auto")):
        told = Namespace(**{**vars(arguments(out)), "dtype": dtype, "device": device})
        (row,) = cells.run_cells([{"x": 1}], work, told)
        assert row["dtype"] == ("bfloat16" if dtype == "auto" else f"{dtype} {device}")
    assert asked == ["float32 auto", "float32 cpu"]


def test_no_cells_have_no_rows_also_with_a_file_that_has_some(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"x": 1}\n')
    assert cells.run_cells([], lambda cell: {}, arguments(tmp_path / "rows.jsonl")) == []
