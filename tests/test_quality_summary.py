"""experiments/quality_summary.py: the default search beside its rivals, by the rows of both."""

from typing import Any

import quality_summary

KEY = ("m", "t", 0, 4, 4)


def row(shortest: list[list[int]], first_fix: list[int | None], seed: int = 0) -> dict[str, Any]:
    """A search of two items that the base has right and two that it has wrong, looked at after 2 and 4 runs."""
    return {
        "seed": seed, "num_layers": 10, "grid": [20, 40], "base": [1, 1, 0, 0], "shortest": shortest, "first_fix": first_fix,
        "decoy": [None, None, [0, 3], [0, 0]], "verified": [4, 4],
    }  # fmt: skip


GOOD = row([[8, 2], [8, 2], [0, 3], [0, 4]], [None, None, 20, 30])
LESS = row([[9, 6], [9, 6], [0, 3], [0, 0]], [None, None, 25, None])


def cells(lines: list[str], beginning: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(beginning)]
    return line.strip("| ").split(" | ")


def test_the_default_stands_beside_its_rivals_at_half_of_the_budget_and_at_its_end() -> None:
    lines = quality_summary.summary({KEY: {"edits": [GOOD], "random": [LESS], "cola": [LESS]}})
    assert cells(lines, "| m | t | 2 | 1 |")[4:6] == ["2.0 (all agree, n=2)", "2.000 (2.000–2.000)"]
    assert cells(lines, "| m | t | 4 | 1 |")[5:] == ["2.000 (2.000–2.000)", "", "", "", "`cola` 2.000 (2.000–2.000)"]


def test_its_fixes_stand_beside_those_of_rivals_and_its_decoys() -> None:
    lines = quality_summary.summary({KEY: {"edits": [GOOD], "random": [LESS], "hill_climbing": [GOOD]}})
    shown = cells(lines, "| m | t | 4 | 1.00 (")
    assert shown[4].startswith("+0.50 (") and shown[4].endswith("1 won, 0 lost")
    assert shown[-3:-1] == ["25, 25", "1/2"] and shown[-1].startswith("+0.50 (")


def test_the_best_published_search_is_the_one_that_had_saved_most_by_then() -> None:
    late = row([[10, 1], [10, 1], [0, 3], [0, 4]], [None, None, 20, 30])
    lines = quality_summary.summary({KEY: {"edits": [GOOD], "random": [LESS], "cola": [LESS], "drllm": [late]}})
    assert cells(lines, "| m | t | 2 | 1 |")[-1].startswith("`cola`")
    assert cells(lines, "| m | t | 4 | 1 |")[-1].startswith("`drllm`")


def test_what_lessons_add_is_told_over_the_seeds_that_both_searches_have() -> None:
    default = [GOOD, row([[10, 10]] * 4, [None] * 4, seed=1)]
    lines = quality_summary.summary({KEY: {"edits": default, "random": [LESS], "edits+learnt": [LESS]}})
    shown = cells(lines, "| m | t | 1 | 2.0, 1.0")
    assert shown[3:8] == ["2.0, 1.0", "8.0, 4.0", "8.0, 4.0", "0.500 (0.500–0.500)", ""]


def test_what_has_no_default_or_nothing_random_is_left_out() -> None:
    lines = quality_summary.summary({KEY: {"repolar": [GOOD]}, (*KEY[:4], 9): {"edits": [GOOD]}})
    assert not [line for line in lines if line.startswith("| m |")]
