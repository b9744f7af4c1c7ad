"""The table of what calibration chose: which arms are shown, and how."""

from typing import Any

from held_out_table import made_with, of_cell


def arm(menu: str, selector: str, budget: float, **more: Any) -> dict[str, Any]:
    made = {
        "menu": menu,
        "selector": selector,
        "budget": budget,
        "cost": budget,
        "count": 6,
        "difference": 0.1,
        "p": 0.0,
    }
    return {**made, "difference_low": -0.1, "difference_high": 0.3, "chosen": [], "p_holm": 0.25, **more}


def told(arms: list[dict[str, Any]], oracle: Any = ()) -> list[list[str]]:
    """The cells of the lines of a model with ten layers, behind its name and task."""
    row = {"model": "m", "task": "t", "layers": 10, "base": {"count": 5, "of": 10}, "rows": arms, "oracle": oracle}
    return [[cell.strip() for cell in line.split("|")][3:-1] for line in of_cell(row)]


def test_an_arm_is_shown_at_every_budget_that_it_was_chosen_for() -> None:
    """Within a budget of twenty the best may be what costs ten."""
    lines = told([arm("ensemble", "vote", 10, chosen=[10, 20]), arm("chain", "chain", 20), arm("cover", "vote", 20)])
    assert [line[:2] for line in lines] == [
        ["10", "base"],
        ["10", "**ensemble, vote**"],
        ["20", "chain, chain"],
        ["20", "**ensemble, vote**"],
    ]
    assert lines[1][2:] == ["10", "60.0% (6/10)", "+10.0 (-10.0 to +30.0)", "<0.0001", "0.25"]


def test_the_control_is_no_choice() -> None:
    (line,) = told([arm("base", "unbiased", 10, chosen=[10])])[1:]
    assert line[1] == "*control: base, unbiased*"


def test_an_oracle_of_one_chain_is_that_chain_and_is_left_out() -> None:
    oracle = [{"budget": 10, "chains": chains, "count": 9, "of": 10} for chains in (["0-9"], ["0-9", "0-4"])]
    assert [line[1] for line in told([arm("chain", "chain", 10)], oracle)] == [
        "base",
        "chain, chain",
        "oracle of 2 chains",
    ]


def test_a_row_that_was_measured_outside_of_git_says_so() -> None:
    row = {
        "model": "m",
        "task": "t",
        "calibration": "40 items",
        "searches": 2,
        "simulations": 4,
        "chains": 3,
        "seed": 0,
    }
    assert "commit unknown" in made_with({**row, "cross_validated": {"items": 36}, "device": "CPU", "commit": None})
