"""experiments/quality_tables.py: which tables there are, and which rows it refuses."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import quality_tables


def row(base: list[int], shortest: list[int]) -> dict[str, Any]:
    return {
        "num_layers": 10,
        "grid": [20],
        "base": base,
        "shortest": [[length] for length in shortest],
        "evaluations": 9,
        "chains": 2,
    }


def test_rows_without_reads_have_no_table_of_them() -> None:
    assert quality_tables.charged({"edits": [row([1], [5])]}) == []
    known = row([1], [5]) | {"head_cost": 2.0, "with_reads": {"shortest": [[8]], "first_fix": [None]}}
    assert any(line.startswith("| edits | 1 | 9 | 2.0") for line in quality_tables.charged({"edits": [known]}))


def test_a_seed_with_two_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"model": "m", "task": "t", "search": "edits", "seed": 0, "first": 0, "items": 1, "chains": 20}
    rows = [cell | {"in_flight": 16}, cell | {"in_flight": 100}]
    (tmp_path / "search_quality_m.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    monkeypatch.setattr(sys, "argv", ["quality_tables.py", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match="seed 0 of edits on t, m, has two rows"):
        quality_tables.main()
