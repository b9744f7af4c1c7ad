"""experiments/cells.py and the tables of search quality: what is measured once stays, and what it says of a search."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        import cells
        import quality_tables

        yield {"cells": cells, "tables": quality_tables}
    finally:
        sys.path.remove(str(EXPERIMENTS))


def arguments(path: Path) -> Namespace:
    return Namespace(out=path, device="auto", dtype="auto", memory="50MB", threads=1, processes=1)


def test_what_is_in_the_file_is_not_measured_again_and_a_failed_cell_is(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules["cells"].os, "environ", dict(modules["cells"].os.environ))
    asked: list[int] = []

    def work(cell: dict[str, Any]) -> dict[str, Any]:
        asked.append(cell["x"])
        if cell["x"] == 2 and asked.count(2) == 1:
            raise RuntimeError("once")
        return {"square": cell["x"] ** 2}

    out, cells = tmp_path / "rows.jsonl", [{"x": x} for x in (1, 2, 3)]
    first = modules["cells"].run_cells(cells, work, arguments(out))
    assert [row["square"] for row in first] == [1, 9]
    with out.open("a") as file:
        file.write('{"x": 9, "squ')  # a command that was killed while it wrote
    second = modules["cells"].run_cells(cells, work, arguments(out))
    assert [row["square"] for row in second] == [1, 4, 9]
    modules["cells"].run_cells(cells, work, arguments(out))
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


def test_layers_saved_count_base_right_items_and_fixes_base_wrong_ones(modules: dict[str, ModuleType]) -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]])]
    assert modules["tables"].saved(rows, 5).tolist() == [6, 2]
    assert modules["tables"].saved(rows, 2).tolist() == [0, 0]
    assert modules["tables"].fixed(rows, 2).tolist() == [0]
    assert modules["tables"].fixed(rows, 5).tolist() == [1]


def test_seeds_are_averaged_per_item(modules: dict[str, ModuleType]) -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]]), row("edits", [[10, 8], [0, 8], [0, 0]])]
    assert modules["tables"].saved(rows, 5).tolist() == [4, 2]
    assert modules["tables"].fixed(rows, 5).tolist() == [0.5]


def test_a_fix_stands_beside_the_decoys_of_the_same_items(modules: dict[str, ModuleType]) -> None:
    rows = [row("edits", [[10, 4], [0, 8], [0, 7]], decoy=[[0, 5], None, [0, 0]], verified=[3, 3])]
    reached, difference, lengths, verified = modules["tables"].against_decoy(rows)
    assert (reached, lengths, verified) == ("0/1", "7, -", "3/3")
    assert difference.startswith("+1.00")


def test_the_interval_of_a_mean_holds_the_mean(modules: dict[str, ModuleType]) -> None:
    text = modules["tables"].interval(np.array([1.0, 2.0, 3.0]), "{:.1f}")
    assert text.startswith("2.0 (") and text.endswith("n=3)")
