"""The page of both papers: over which items it counts a fix and its decoy."""

import json
from pathlib import Path
from typing import Any

from papers_page import MATH, all_levels, by_task, findings, largest, percent, table_1, void_part


def told(**more: Any) -> list[str]:
    """The cells of the line of a row with ten layers."""
    row = {"model": "m", "task": "t", "arm": "both", "num_layers": 10, **more}
    (line,) = findings([row])
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_a_fix_and_its_decoy_are_counted_over_the_same_items() -> None:
    """Forty items the base has wrong; the half without a decoy are fixed, which says nothing of luck."""
    cells = told(base=[0] * 40, shortest=[0] * 20 + [5] * 20, random=[0] * 40, decoy={str(i): 0 for i in range(20)})
    assert cells[4:7] == ["0/20", "0/20", "0/20"]
    assert cells[7].startswith("+0.00") and cells[8] == "not above its decoy"


def test_the_difference_is_paired() -> None:
    """Six fixes more over 60 items: unpaired that is within luck, paired it is not."""
    fixed, decoys = [5] * 36 + [0] * 24, {str(i): 5 * (i < 30) for i in range(60)}
    assert told(base=[0] * 60, shortest=fixed, random=fixed, decoy=decoys)[7:] == [
        "+0.10 (+0.03 to +0.20)",
        "above its decoy",
    ]


def test_an_item_that_the_base_failed_on_is_neither_right_nor_wrong() -> None:
    assert percent([1, None]) == percent([1])
    cells = told(base=[1, 0, None], shortest=[3, 0, 5], random=[0, 0, 5], decoy={"1": 0})
    assert (cells[2], cells[4]) == ("1/1", "0/1")


def test_without_a_decoy_there_is_nothing_to_compare() -> None:
    assert told(base=[1], shortest=[3], random=[0], decoy={})[4:] == ["-", "-", "-", "-", "-"]


def test_the_last_line_of_a_model_is_over_all_its_items() -> None:
    """Two tasks of ten items, each with five fixes more than decoys: alone they may be luck, together they are not."""
    row = {"model": "m", "arm": "both", "num_layers": 10, "base": [0] * 10, "shortest": [5] * 5 + [0] * 5}
    row |= {"random": [0] * 10, "decoy": {str(i): 0 for i in range(10)}}
    lines = [line.split(" | ") for line in findings([row | {"task": "a"}, row | {"task": "b"}, row | {"task": "c"}])]
    assert [line[1] for line in lines] == ["a", "b", "c", "all 3"]
    assert [line[4] for line in lines] == ["5/10", "5/10", "5/10", "15/30"]
    assert lines[-1][7].startswith("+0.50 (+0.3")


def test_the_levels_of_math_are_told_alone_and_together() -> None:
    row = {"model": "m", "arm": "both", "num_layers": 10, "n": 2, "base": [0, 0], "random": [0, 0], "decoy": {"1": 0}}
    rows = [row | {"task": MATH[0], "shortest": [5, 8]}, row | {"task": MATH[1], "shortest": [0, 0]}]
    lines = [line.split(" | ") for line in findings(rows)]
    assert [(line[1], line[4]) for line in lines] == [
        ("MATH level 1", "1/1"), ("MATH level 2", "0/1"), ("MATH, all levels", "1/2"), ("all 2", "1/2"),
    ]  # fmt: skip
    (both,) = (line for line in table_1([*rows, *all_levels(rows)]) if line.startswith("| m | both"))
    assert both.split(" | ")[2:] == [
        "100.0 (2/2, 34–100), depth 65%",
        "0.0 (0/2, 0–66)",
        "50.0 (2/4, 15–85), depth 65% |",
    ]


def test_of_one_cell_measured_twice_the_row_with_more_items_is_shown() -> None:
    few, many = ({"model": "m", "task": "t", "arm": "both", "n": n} for n in (6, 60))
    assert largest([many, few]) == largest([few, many]) == [many]


def test_a_cell_of_several_tasks_is_a_row_of_each() -> None:
    row = {"model": "m", "task": "all", "n": 3, "parts": {"a": 2, "b": 1}, "base": [0, 1, 0], "shortest": [7, 8, 9]}
    a, b = by_task(row | {"random": [4, 5, 6], "decoy": {"0": 3, "2": 2}})
    assert (a["task"], a["n"], a["base"], a["shortest"], a["random"]) == ("a", 2, [0, 1], [7, 8], [4, 5])
    assert (b["task"], b["n"], b["base"], b["shortest"], b["random"]) == ("b", 1, [0], [9], [6])
    assert (a["decoy"], b["decoy"]) == ({"0": 3}, {"0": 2})


def test_a_cell_of_one_task_is_its_row() -> None:
    row = {"model": "m", "task": "a", "n": 1, "base": [0], "shortest": [0], "random": [0], "decoy": {"0": 3}}
    assert list(by_task(row)) == [row]


def test_a_rate_tells_its_counts() -> None:
    assert percent([1, 0, 1, 1]) == "75.0 (3/4, 30–95)"


def test_the_void_table_has_the_models_of_all_files(tmp_path: Path) -> None:
    def cell(model: str, how: str, right: int) -> dict[str, Any]:
        used = {"used": 0.5}
        return {
            "model": model,
            "task": "t",
            "how": how,
            "alpha": 0.8,
            "accuracy": {"count": right, "of": 4},
            "pp": used,
            "rg": None,
        }

    for model in ("a", "b"):
        made = [cell(model, "none", 3), cell(model, "bypass", 2)]
        (tmp_path / f"voids_{model}.json").write_text(json.dumps({"cells": made}))
    lines = list(void_part(sorted(tmp_path.glob("voids*.json"))))
    assert [
        f"| {model}, t, bypass | 75.0 (3/4, 30–95) | 50.0 (2/4, 15–85) | 50% | - |" in lines for model in ("a", "b")
    ] == [True, True]
    assert "has not run" in list(void_part([]))[-1]
