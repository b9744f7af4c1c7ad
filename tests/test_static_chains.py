"""experiments/static_chains.py from its command line to its table, on a tiny model."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import static_chains


def row(method: str, length: int, selection: list[int], held_out: list[int], goal: str = "shorter") -> dict[str, Any]:
    chain = f"0-{length - 1}"
    front = [{"chain": chain, "length": length, "search": selection, "selection": selection, "held_out": held_out}]
    cell = {"model": "m", "task": "t", "goal": goal, "items": 2000, "seed": 0, "method": method, "margin": 0.02}
    return {**cell, "layers": 30, "base": [600, 1000], "front": front, "layer_executions": 3000}


def test_a_command_leaves_rows_and_a_table_and_does_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, tmp_path: Path
) -> None:
    arguments = (
        f"--models {tiny_folder} --tasks arc_easy --methods tree block --goals shorter --items 24 --held-out 12 --margin 0.4 "
        f"--runs 150 --threads 1 --device cpu --dtype float32 --out {tmp_path / 'rows.jsonl'}"
    )
    monkeypatch.setattr(sys, "argv", ["static_chains.py", *arguments.split()])
    static_chains.main()
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [made["method"] for made in rows] == ["tree", "block"]
    assert all(made["base"][1] == 12 and made["layer_executions"] > 0 for made in rows)
    assert all(made["search_layer_executions"] <= 150 * made["layers"] for made in rows)
    assert all(verdict["held_out"][0] == 12 for made in rows for verdict in made["front"])
    monkeypatch.setattr(static_chains, "work", lambda cell: pytest.fail("measured again"))
    static_chains.main()
    assert "| tree" in (tmp_path / "rows.md").read_text() or "**tree**" in (tmp_path / "rows.md").read_text()


def test_rows_that_are_older_than_the_limit_of_the_search_still_have_a_line() -> None:
    old = row("greedy", 24, [1000, 600, 20, 20], [1000, 600, 30, 30])
    text = static_chains.table([old, {**old, "method": "tree", "search_layer_executions": 2400}])
    assert "|  | 100 |" in text and "| 80 | 100 |" in text and "spent: search and choice" in text


def test_the_star_follows_the_selection_items_and_not_the_held_out_ones() -> None:
    lucky = row("greedy", 24, [1000, 600, 5, 60], [1000, 600, 90, 10])
    sound = row("tree", 25, [1000, 600, 20, 20], [1000, 600, 30, 30])
    text = static_chains.table([lucky, sound])
    assert "**tree** *" in text and "**greedy**" not in text


def test_the_goals_are_counted_for_the_starred_choice_alone() -> None:
    reached = row("tree", 25, [1000, 600, 20, 20], [2000, 1200, 40, 40])
    longer = {**row("tree", 27, [1000, 600, 20, 20], [2000, 1200, 40, 40]), "task": "u"}
    better = {**row("tree", 30, [1000, 600, 60, 20], [2000, 1200, 120, 40], "better"), "task": "v"}
    text = static_chains.table([reached, longer, better])
    assert "Of 3 groups, 1 end in a chain that is at least 15% shorter and not worse" in text
    assert "and 1 in one that is better at no more layers" in text


def test_a_method_that_found_nothing_has_a_line() -> None:
    assert "none will do" in static_chains.table([row("voids", 20, [9, 5, 0, 5], [9, 5, 0, 5])])
    assert "none will do" in static_chains.table([{**row("voids", 20, [9, 5, 0, 5], [9, 5, 0, 5]), "front": []}])


def test_groups_with_other_numbers_of_calibration_items_are_not_compared() -> None:
    few, many = (row("tree", 25, [1000, 600, 20, 20], [1000, 600, 30, 30]) for _ in range(2))
    text = static_chains.table([few, {**many, "items": 4000}])
    assert text.count("**tree** *") == 2 and "Of 2 groups" in text


def test_the_choice_is_by_the_rule_of_today_whatever_the_row_says() -> None:
    sound, lucky = (row("tree", length, [1000, 600, 55, 57], [1000, 600, 30, 30]) for length in (25, 24))
    front = [*sound["front"], *lucky["front"], *row("tree", 26, [1000, 600, 20, 20], [1000, 600, 30, 30])["front"]]
    ((made,),) = static_chains.grouped([{**sound, "front": front, "choice": "0-23"}])
    assert made["choice"] == "0-25"
