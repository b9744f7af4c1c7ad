"""experiments/held_out.py from its command line to its rows, on a tiny model."""

import sys
from pathlib import Path

import held_out
import pytest
from cells import read_rows

from cola_search.objective import menu_run

SIZES = {"items": 40, "held_out": 20, "searches": 2, "simulations": 4, "candidates": 2, "first": 4, "finalists": 2}


def test_a_row_is_found_again_and_its_tables_stay_below_the_cache(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(held_out.SIZES, "tiny", SIZES)
    monkeypatch.setattr(menu_run, "SHARES", (1.0,))
    monkeypatch.setattr(held_out.os, "environ", dict(held_out.os.environ))
    out, cache = tmp_path / "rows.jsonl", tmp_path / "cache"
    arguments = (
        f"--models {tiny_folder} --tasks arc_easy --cache {cache} --out {out} --size tiny --device cpu --threads 1"
    )
    monkeypatch.setattr(sys, "argv", ["held_out.py", *arguments.split()])
    held_out.main()
    held_out.main()
    (row,) = read_rows(out)
    assert row["items"] == 40 and row["counts"] == {"calibration": 40, "held_out": 20}
    (tables,) = cache.iterdir()
    assert len(list(tables.glob("*.npz"))) == 2
