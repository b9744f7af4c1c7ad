"""Paired statistics against figures worked out by hand, by another formula, or in a paper."""

import math

import pytest
from scipy.stats import binomtest

from cola_search.objective.paired import Paired, holm, pair, score_z


def test_counts_come_from_two_lists_of_verdicts() -> None:
    counted = pair([True, True, False, False, True], [True, False, True, False, False])
    assert counted == Paired(n=5, base_right=3, gained=1, lost=2)
    assert counted.right == 2 and counted.difference == pytest.approx(-0.2)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        pair([True], [True, False])


@pytest.mark.parametrize(("gained", "lost"), [(12, 2), (2, 12), (5, 5), (0, 3), (0, 0), (400, 350)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_items(gained: int, lost: int) -> None:
    counted = Paired(1000, 500, gained, lost)
    if gained + lost:
        assert counted.p_two_sided == pytest.approx(binomtest(gained, gained + lost).pvalue)
        assert counted.p_better == pytest.approx(binomtest(gained, gained + lost, alternative="greater").pvalue)
    else:
        assert counted.p_two_sided == counted.p_better == 1


@pytest.mark.parametrize(
    ("counted", "low", "high"),
    [
        (Paired(44, 43, 0, 1), -0.1180, 0.0594),
        (Paired(50, 30, 12, 2), 0.0611, 0.3447),
        (Paired(30, 15, 0, 0), -0.1135, 0.1135),
    ],
)
def test_the_interval_is_tangos(counted: Paired, low: float, high: float) -> None:
    """The first is Tango's own example (1998, table II); of the third, z^2 / (n + z^2) is known in closed form."""
    assert counted.interval() == pytest.approx((low, high), abs=2e-4)


def test_at_a_bound_the_score_statistic_is_the_normal_quantile() -> None:
    counted = Paired(1500, 800, 90, 110)
    low, high = counted.interval()
    assert score_z(counted, low) == pytest.approx(1.95996, abs=1e-4)
    assert score_z(counted, high) == pytest.approx(-1.95996, abs=1e-4)


@pytest.mark.parametrize("lost", [40, 60, 80, 100])
def test_not_worse_by_the_bound_is_not_worse_by_the_p_value(lost: int) -> None:
    counted = Paired(1000, 500, 60, lost)
    assert counted.not_worse(0.02) == (counted.p_not_worse(0.02) < 0.05)


def test_without_items_nothing_is_known() -> None:
    nothing = Paired(0, 0, 0, 0)
    assert not nothing.not_worse(0.02) and nothing.p_not_worse(0.02) == 1 and math.isnan(nothing.difference)


def test_all_lost_and_all_gained_stay_within_their_range() -> None:
    assert Paired(3, 3, 0, 3).lower_bound() == pytest.approx(-1) and Paired(3, 0, 3, 0).upper_bound() == pytest.approx(
        1
    )


def test_holm_corrects_as_in_the_paper_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
