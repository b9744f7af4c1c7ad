"""The page of both papers: over which items it counts a fix and its decoy."""

from typing import Any

from papers_page import findings, percent


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
