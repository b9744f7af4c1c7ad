"""The bound on the numbers of an answer before they are computed."""

from math import comb, factorial, log10

import pytest

from cola_search.tasks.answer_size import most_digits, too_large


@pytest.mark.parametrize(
    "latex",
    [
        "(99!)!", "[99!]!", "9999!!", "(9^9)!", "9^{9}!", "2^3!!^9", "99999999!", "10^{20}!",
        "10^{-9999999}", "2^-9999999", "2^{99999999}", "2^{9 999 999}", "9999999^{999999}", "x^{9999999}",
        "9^{9^{9}}", "9^99^99^99^99", "(9^{9999})^{9999}", r"\left(9^{9999}\right)^{9999}", r"\{9^{9999}\}^{9999}",
        "((9^{999})^{999})^{999}", "(1+1+1)^{(1+1+1)^{(1+1+1)^{(1+1+1)}}}", r"\frac{1}{9^{9^9}}", r"9^\frac{9999999}{1}",
        "9^{1/(1/9999999)}", "99!^{99999}", r"1 - 9^{9999999}", r")1 + 9^{9999999}",
        r"\binom{1000000}{500000}", r"{1000000 \choose 500000}", r"\sum_{k=1}^{9999999} k", r"\prod_{k=1}^{9999999} k",
        "(x+1)^{9999}", "(x+y+z)^{99}", r"(1+\sqrt{2})^{9999}", r"(\alpha-1)^{9999}", "(" * 300,
    ],
)  # fmt: skip
def test_what_would_take_for_ever_to_compute_is_too_large(latex: str) -> None:
    assert too_large(latex)


@pytest.mark.parametrize(
    "latex",
    [
        "", "5", "[1,2)", ")))1(((", "2^", "^", "!", "\\", "{", r"180^\circ", r"180^{\circ}", r"90^\circ + 2^{10}",
        "2^{2005}", "3^{2005}-3^{1005}", "2^{99999}", "10^{10000}", "2^{2^{3}}", r"6.02 \times 10^{23}", "10^{-12}",
        "9999!", "3!!", "(5!)!", "(n+1)!", r"\frac{10!}{5! 5!}", r"\frac{(2n)!}{(n!)^2}", r"\binom{2005}{1000}",
        r"{10 \choose 5}", "e^{-x^{4}y^{4}}", r"e^{2\pi i k/5}", r"e^{\frac{x^2}{2\sigma^2}}", "x^{2n+1}", "x^{2005}",
        "(x+1)^{100}", "(-x)^{2005}", "(a+b+c)^{10}", r"\left(\frac{999}{998}\right)^{999}", r"\sqrt[3]{2}", r"\exp(9999999)",
        r"\sum_{k=1}^{1000} k", "9" * 300,
    ],
)  # fmt: skip
def test_what_an_answer_may_well_be_is_not(latex: str) -> None:
    assert not too_large(latex)


@pytest.mark.parametrize(
    ("latex", "value"),
    [
        ("7^{99}", 7**99),
        ("99!", factorial(99)),
        ("(9!)^{5}", factorial(9) ** 5),
        ("(3!)!", 720),
        ("2^{3}!", 40_320),
        ("12^{34}45", 12**34 * 45),
        ("2^{3^{4}}", 2**81),
        ("7^{12}+5!", 7**12 + 120),
        ("(1+1+1)^{(1+1+1)}", 27),
        (r"\binom{30}{15}", comb(30, 15)),
        (r"{30 \choose 15}", comb(30, 15)),
        (r"\frac{2^{70}}{3^{9}}", 2**70 // 3**9),
    ],
)
def test_the_bound_is_no_less_than_the_digits_of_the_value(latex: str, value: int) -> None:
    assert log10(value) <= most_digits(latex)
