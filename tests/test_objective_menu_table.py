"""The result of objective=menu in words."""

from typing import Any

import pytest
from rich.console import Console

from cola_search.objective.menu_table import print_menu


def row(menu: str, selector: str, rate: float, p: float, p_control: float, chosen: list[float]) -> dict[str, Any]:
    low, high = rate - 0.25, rate - 0.15
    return {
        "menu": menu, "selector": selector, "budget": 12.0, "calibration": rate, "rate": rate, "cost": 12.0,
        "difference": rate - 0.2, "difference_low": low, "difference_high": high, "p": p, "p_control": p_control,
        "p_holm": p, "chosen": chosen, "chains": ["0-11"],
    }  # fmt: skip


def conclusion(control: str, p_control: float, rate: float = 0.375) -> str:
    arm = row("cover", "weighted", rate, 0.0001, p_control, [12.0])
    result = {
        "task": "toy", "model": "tiny", "layers": 12, "counts": {"calibration": 40}, "calibration": "40 items", "chains": 9,
        "cross_validated": {"items": 40, "unseen": True}, "base": {"of": 100, "rate": 0.2}, "oracle": [], "chosen": arm,
        "rows": [row("base", control, 0.37, 0.0001, 1.0, [12.0]), arm],
    }  # fmt: skip
    console = Console(record=True, width=400)
    print_menu(result, "runs/x", console)
    return next(line for line in console.export_text().splitlines() if line.startswith("Calibration chooses"))


def test_a_gain_that_fitted_weights_have_without_a_menu_is_not_told_as_the_menus() -> None:
    said = conclusion("weighted", 0.9)
    assert "+17.5 points" in said and "more accurate than the base (p <0.001" in said
    assert (
        "alone with weighted, which calibration chooses for it, is at +17.0: the menu is +0.5 points from that" in said
    )
    assert "not shown to be more accurate (p 0.900)" in said


@pytest.mark.parametrize(("rate", "words"), [(0.5, ", more accurate (p 0.010)"), (0.25, ", less accurate (p 0.010)")])
def test_a_menu_that_differs_from_its_control_is_said_to(rate: float, words: str) -> None:
    assert words in conclusion("weighted", 0.01, rate)


def test_the_base_as_it_is_needs_no_second_comparison() -> None:
    assert "alone with" not in conclusion("chain", 0.9)
