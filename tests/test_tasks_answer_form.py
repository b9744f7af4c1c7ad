"""How alike two answers are in form."""

import pytest

from cola_search.tasks.answer_form import unlikeness


@pytest.mark.parametrize(
    ("wanted", "by_likeness"),
    [
        (
            "59",
            [
                ["17", "60"],
                ["-17"],
                ["7", "100"],
                ["-7"],
                ["12345"],
                ["0.5", "x", r"\frac{1}{2}", "3qr + 6q - 15r - 30"],
            ],
        ),
        ("-7", [["-3"], ["5"], ["-12"], ["12"], [r"-\frac{1}{2}", "-x"]]),
        ("0.5", [[r"\frac{3}{4}", "7.5", "1/2", r"\frac12"], ["-7.5"], [".5", "0.25"], ["5", "59", "x"]]),
        (
            r"\frac{5}{12}",
            [["0.25", r"\dfrac{1}{10}", r"6\frac15"], [r"-\frac{11}{3}"], ["2.5"], ["512", r"\frac{x}{12}"]],
        ),
        ("x^2+1", [["y^3-2", "(1,2)", "a + b cd"], ["x^2", "x^2+y^2"], ["x"], ["5", "0.5"]]),
    ],
)
def test_the_nearest_form_comes_first(wanted: str, by_likeness: list[list[str]]) -> None:
    ranks = [{unlikeness(wanted, other) for other in alike} for alike in by_likeness]
    assert [len(rank) for rank in ranks] == [1] * len(ranks)
    assert sorted(min(rank) for rank in ranks) == [min(rank) for rank in ranks]
    assert len(set.union(*ranks)) == len(ranks)


@pytest.mark.parametrize(
    "written",
    [
        r"\$1,000", "1,000", r"1,\!000", "1{,}000", r"1000^\circ", r"1000^{\circ}", r"1000\%", "1000%", " 1000 ", "1000.",
        r"1000\text{ cm}^2", r"1000\mbox{ inches}", "1000_8", "1000_{13}", "+1000",
    ],
)  # fmt: skip
def test_units_and_separators_are_no_part_of_the_form(written: str) -> None:
    assert unlikeness("1000", written) == unlikeness(written, "1000") == (0, 0, 0)


def test_a_minus_sign_of_print_is_a_minus_sign() -> None:
    assert unlikeness("-5", "\u22127") == (0, 0, 0)


def test_a_list_of_numbers_is_no_number() -> None:
    assert unlikeness("12", "1,2") == unlikeness("12", "(1,2)") == (1,)
    assert unlikeness("1,2", "3,4") == (0, 0)
