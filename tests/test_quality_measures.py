"""experiments/quality_measures.py: what a search saved and fixed, over items and seeds, and how two searches compare."""

from typing import Any

import numpy as np
import quality_measures


def curve(shortest: list[list[int]], **more: Any) -> dict[str, Any]:
    return {
        "seed": 0,
        "num_layers": 10,
        "grid": [20, 50],
        "base": [1, 1, 0],
        "shortest": shortest,
        **more,
    }


def test_layers_saved_count_base_right_items_and_fixes_base_wrong_ones() -> None:
    rows = [curve([[10, 4], [0, 8], [0, 7]])]
    assert quality_measures.saved(rows, 5).tolist() == [6, 2]
    assert quality_measures.saved(rows, 2).tolist() == [0, 0]
    assert quality_measures.fixed(rows, 2).tolist() == [0]
    assert quality_measures.fixed(rows, 5).tolist() == [1]


def test_seeds_are_averaged_per_item() -> None:
    rows = [curve([[10, 4], [0, 8], [0, 7]]), curve([[10, 8], [0, 8], [0, 0]])]
    assert quality_measures.saved(rows, 5).tolist() == [4, 2]
    assert quality_measures.fixed(rows, 5).tolist() == [0.5]


def test_a_fix_stands_beside_the_decoys_of_the_same_items() -> None:
    rows = [curve([[10, 4], [0, 8], [0, 7]], decoy=[[0, 5], None, [0, 0]], verified=[3, 3])]
    reached, difference, lengths, verified = quality_measures.against_decoy(rows)
    assert (reached, lengths, verified) == ("0/1", "7, -", "3/3")
    assert difference.startswith("+1.00")


def test_the_interval_of_a_mean_holds_the_mean() -> None:
    text = quality_measures.interval(np.array([1.0, 2.0, 3.0]), "{:.1f}")
    assert text.startswith("2.0 (") and text.endswith("n=3)")


def row(base: list[int | None], shortest: list[int]) -> dict[str, Any]:
    return {
        "num_layers": 10,
        "grid": [20],
        "base": base,
        "shortest": [[length] for length in shortest],
        "evaluations": 9,
        "chains": 2,
    }


def test_items_on_whose_base_two_searches_disagree_are_not_compared() -> None:
    mine, other = [row([1, 1, 0], [5, 9, 0])], [row([1, 0, 1], [8, 1, 2])]
    assert quality_measures.saved(mine, 2).tolist() == [5, 1]
    assert quality_measures.saved(mine, 2, mine + other).tolist() == [5]
    assert quality_measures.ratio(mine, other, 2).startswith("2.50")


def test_layers_saved_are_those_of_the_model_less_those_of_the_chain() -> None:
    assert np.array_equal(quality_measures.saved([row([1, 1], [0, 12])], 2), [0, 0])


def test_items_that_all_agree_have_no_interval() -> None:
    assert quality_measures.interval([1.0] * 33, "{:.2f}") == "1.00 (all agree, n=33)"
    assert quality_measures.interval([1.0, 0.0] * 9, "{:.2f}") == "0.50 (0.28–0.72, n=18)"


def test_two_searches_fixes_are_compared_item_by_item() -> None:
    mine, other = row([0, 0, 0, 1], [4, 5, 0, 9]), row([0, 0, 0, 1], [0, 5, 3, 9])
    assert quality_measures.more_fixed([mine], [other], 2).endswith("n=3), 1 won, 1 lost")
    assert quality_measures.more_fixed([mine], [row([0] * 3 + [1], [0] * 4)], 2).startswith("+0.67 (")


def test_an_item_without_a_verdict_of_the_base_is_neither_right_nor_wrong() -> None:
    rows = [row([1, 0, None], [5, 8, 3])]
    assert quality_measures.saved(rows, 2).tolist() == [5]
    assert quality_measures.fixed(rows, 2).tolist() == [1]


def test_a_ratio_with_a_narrow_interval_has_a_digit_more() -> None:
    mine, other = [row([1] * 4, [1, 1, 1, 1])], [row([1] * 4, [1, 1, 1, 5])]
    assert quality_measures.ratio(mine, mine, 2) == "1.000 (1.000–1.000)"
    assert quality_measures.ratio(mine, other, 2) == "1.12 (1.00–1.50)"


def test_the_first_fix_is_a_median_in_which_items_that_were_never_fixed_count_as_infinite() -> None:
    told = {**row([0, 0, 0, 1], [5, 5, 0, 5]), "first_fix": [30, 50, None, 7]}
    assert quality_measures.first_fix([told]) == "50"
    assert quality_measures.first_fix([{**told, "first_fix": [30, None, None, 7]}]) == "never"
