"""experiments/cells.py and the tables of search quality: what is measured once stays, and what it says of a search."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest
import quality_tables


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


def row(search: str, shortest: list[list[int]], **more: Any) -> dict[str, Any]:
    return {
        "search": search,
        "seed": 0,
        "num_layers": 10,
        "grid": [20, 50],
        "base": [1, 1, 0],
        "shortest": shortest,
        **more,
    }


def test_layers_saved_count_base_right_items_and_fixes_base_wrong_ones() -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]])]
    assert quality_tables.saved(rows, 5).tolist() == [6, 2]
    assert quality_tables.saved(rows, 2).tolist() == [0, 0]
    assert quality_tables.fixed(rows, 2).tolist() == [0]
    assert quality_tables.fixed(rows, 5).tolist() == [1]


def test_seeds_are_averaged_per_item() -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]]), row("edits", [[10, 8], [0, 8], [0, 0]])]
    assert quality_tables.saved(rows, 5).tolist() == [4, 2]
    assert quality_tables.fixed(rows, 5).tolist() == [0.5]


def test_a_fix_stands_beside_the_decoys_of_the_same_items() -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]], decoy=[[0, 5], None, [0, 0]], verified=[3, 3])]
    reached, difference, lengths, verified = quality_tables.against_decoy(rows)
    assert (reached, lengths, verified) == ("0/1", "7, -", "3/3")
    assert difference.startswith("+1.00")


def test_the_interval_of_a_mean_holds_the_mean() -> None:
    text = quality_tables.interval(np.array([1.0, 2.0, 3.0]), "{:.1f}")
    assert text.startswith("2.0 (") and text.endswith("n=3)")


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
