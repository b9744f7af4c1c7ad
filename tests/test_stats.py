"""Intervals against figures that others published or that can be derived by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cola_search.report.stats import bonett_price, mean_of, newcombe, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_intervals_of_newcombes_table(count: int, of: int, low: float, high: float) -> None:
    """Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3."""
    rate = wilson(count, of)
    assert rate.low == pytest.approx(low, abs=5e-5)
    assert rate.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_gives_the_intervals_of_his_table(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe (1998), Statistics in Medicine 17:873-890, table II, method 10."""
    difference = newcombe(wilson(*first), wilson(*second))
    assert difference is not None
    assert difference.low == pytest.approx(low, abs=5e-5)
    assert difference.high == pytest.approx(high, abs=5e-5)


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_rate_lies_in_its_interval_and_the_interval_in_0_to_1(count: int, more: int) -> None:
    rate = wilson(count, count + more)
    assert rate.rate is not None and rate.low is not None and rate.high is not None
    assert 0 <= rate.low <= rate.rate <= rate.high <= 1


def test_nothing_to_count_has_no_rate_and_no_difference() -> None:
    assert wilson(0, 0).rate is None
    assert newcombe(wilson(0, 0), wilson(1, 2)) is None


def test_bonett_price_gives_the_interval_worked_by_hand() -> None:
    # 4 of 20 only in the first, 1 only in the second: p1 = 5/22, p2 = 2/22, half width 1.96 sqrt((7/22 - 9/484) / 22)
    change = bonett_price(4, 1, 20)
    assert change is not None and change.difference == pytest.approx(0.15)
    assert (change.low, change.high) == (pytest.approx(-0.0923, abs=2e-4), pytest.approx(0.3651, abs=2e-4))


def test_no_difference_at_all_still_has_an_interval_that_narrows_with_samples() -> None:
    few, many = bonett_price(0, 0, 5), bonett_price(0, 0, 500)
    assert few is not None and many is not None and few.low < many.low < 0 < many.high < few.high
    assert bonett_price(0, 0, 0) is None


def test_mean_and_quantiles_are_those_of_the_values() -> None:
    values = [0, 0, 3, 4, 4, 9, 11]
    mean = mean_of(Counter(values))
    assert (mean.of, mean.mean) == (7, pytest.approx(np.mean(values)))
    assert (mean.median, mean.p90) == (np.median(values), pytest.approx(np.quantile(values, 0.9)))


def test_the_interval_of_a_mean_is_that_of_the_normal_law_for_many_values() -> None:
    values = np.random.default_rng(1).integers(0, 20, size=2000)
    mean = mean_of(Counter(values.tolist()))
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert mean.low == pytest.approx(values.mean() - half, abs=0.02)
    assert mean.high == pytest.approx(values.mean() + half, abs=0.02)


def test_the_interval_of_the_same_values_is_always_the_same() -> None:
    assert mean_of({1: 5, 9: 3}) == mean_of({9: 3, 1: 5})


def test_the_interval_of_few_values_is_students() -> None:
    """Student (1908), Biometrika 6:1-25, the ten differences of table V: mean 1.58, s 1.23, t of 9 degrees 2.262."""
    tenths = [12, 24, 13, 13, 0, 10, 18, 8, 46, 14]
    mean = mean_of(Counter(tenths))
    half = 2.262 * np.std(tenths, ddof=1) / math.sqrt(10)
    assert (mean.low, mean.high) == (pytest.approx(15.8 - half, abs=0.01), pytest.approx(15.8 + half, abs=0.01))


@pytest.mark.parametrize("count", [2, 50])
def test_values_that_all_agree_show_no_spread_and_have_no_interval(count: int) -> None:
    mean = mean_of({1: count})
    assert (mean.mean, mean.low, mean.high) == (1.0, None, None)


def test_the_interval_of_a_mean_is_cut_to_what_can_be() -> None:
    free, cut = mean_of({1: 3, 30: 1}), mean_of({1: 3, 30: 1}, least=1)
    assert free.low is not None and free.low < 1
    assert (cut.low, cut.high, cut.mean) == (1, free.high, free.mean)


@pytest.mark.parametrize(("right", "of"), [(0, 5), (3, 10), (10, 10), (37, 40), (1, 1)])
def test_the_interval_of_a_mean_of_zeros_and_ones_is_that_of_clopper_and_pearson(right: int, of: int) -> None:
    mean = mean_of({value: count for value, count in ((0, of - right), (1, right)) if count}, least=0, most=1)
    low, high = binomtest(right, of).proportion_ci(0.95, "exact")
    assert (mean.low, mean.high) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_the_interval_of_few_bounded_values_holds_the_mean_as_often_as_it_says() -> None:
    """Layers saved pile up at the most that can be, with a few far below: t held the mean in 4 of 5 draws of 10 of them."""
    values = np.repeat([29, 28, 27, 20, 9, 2], [80, 6, 4, 4, 3, 3])
    rng = np.random.default_rng(0)
    intervals = [mean_of(Counter(rng.choice(values, 10).tolist()), least=0, most=29) for _ in range(60)]
    held = [
        mean.low <= values.mean() <= mean.high for mean in intervals if mean.low is not None and mean.high is not None
    ]
    assert sum(held) >= 57


def test_values_that_all_agree_have_an_interval_where_bounds_say_what_else_there_may_be() -> None:
    mean = mean_of({29: 10}, least=0, most=29)
    assert (mean.low, mean.high) == (pytest.approx(29 * 0.025**0.1, abs=0.2), 29)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert (mean_of({4: 1}).mean, mean_of({4: 1}).low) == (4.0, None)
    assert mean_of({}).mean is None
