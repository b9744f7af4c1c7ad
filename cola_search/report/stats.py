"""Intervals for the figures of a summary: pure functions of counts, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from scipy.special import betainc, stdtrit

Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution, for two-sided 95% intervals."""

RESAMPLES = 2000
"""Draws of a bootstrap, for figures that no formula here has an interval for."""

_DRAWS = 10_000  # for the limits of a mean of bounded values, which then differ by a twentieth of a standard error


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share with its counts and its 95% interval; nothing but counts where there is nothing to count."""

    count: float
    """A whole number, but where it is an expected one."""
    of: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One rate minus another with its 95% interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean of counted values with its 95% interval, and how the values are spread."""

    of: int
    mean: float | None
    low: float | None
    """None where nothing is known to go by: of values that are all the same, or a single one, where any value is possible."""
    high: float | None
    median: float | None
    p90: float | None


def wilson(count: float, of: int) -> Rate:
    """The rate with the score interval of Wilson (1927), JASA 22:209-212:

    centre = (p + z^2/2n) / (1 + z^2/n), half width = z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n).
    """
    if of == 0:
        return Rate(count=count, of=of, rate=None, low=None, high=None)
    rate = count / of
    low, high = _limits(rate, of)
    return Rate(count=count, of=of, rate=rate, low=low, high=high)


def chance_of_as_many(count: int, of: int, share: float) -> float:
    """The p-value of the exact, one-sided binomial test: how likely at least `count` of `of` are right by chance, if each is with
    probability `share`. Its false alarms stay below the level also for small shares, where Wilson's lower limit is too high."""
    return float(betainc(count, of - count + 1, share)) if count else 1.0


def _limits(rate: float, of: float) -> tuple[float, float]:
    scale = 1 + Z95**2 / of
    centre = (rate + Z95**2 / (2 * of)) / scale
    half = Z95 * sqrt(rate * (1 - rate) / of + Z95**2 / (4 * of**2)) / scale
    return 0.0 if rate == 0 else max(0.0, centre - half), 1.0 if rate == 1 else min(1.0, centre + half)


def clustered(clusters: Mapping[tuple[int, int], int], items: int | None = None) -> Rate:
    """The pooled rate of clusters {(count, of): how many such clusters}, whose members go together.

    items: how many items the members were drawn from, where a larger number of them must share some: see `_shared`.

    Wilson's interval with the effective number r(1-r) / var of Dean and Pagano (2015), Journal of Survey Statistics and
    Methodology 3:484-503, var = m/(m-1) sum (y_i - r n_i)^2 / (sum n_i)^2 over m clusters; at most that of the members. Few
    clusters tell little of var, hence the factor (z / t)^2 of Korn and Graubard (1998), Survey Methodology 24:193-201, t of
    m - 1 degrees of freedom. It never falls below (sum n_i)^2 / sum n_i^2, which holds where all members of a cluster are
    alike (Kish 1965, Survey Sampling), and is that where no var can be seen: one cluster, all right, all wrong.
    """
    kinds = np.array(sorted(clusters), dtype=float).reshape(-1, 2)
    times = np.array([clusters[int(count), int(of)] for count, of in kinds])
    count, of = (int(total) for total in times @ kinds) if len(kinds) else (0, 0)
    if of == 0:
        return wilson(count, of)
    rate, m = count / of, int(times.sum())
    effective = of**2 / float(times @ kinds[:, 1] ** 2)
    if m > 1 and 0 < count < of:
        variance = m / (m - 1) * float(times @ (kinds[:, 0] - rate * kinds[:, 1]) ** 2) / of**2
        members = min(of, rate * (1 - rate) / variance) if variance else of
        effective = max(effective, members * (Z95 / _t95(m - 1)) ** 2)
    low, high = _limits(rate, 1 / (1 / effective + _shared(of, items)))
    return Rate(count=count, of=of, rate=rate, low=low, high=high)


def _shared(of: float, items: int | None) -> float:
    """What `of` tries on so few items add to 1/n: those of one item go together across clusters, and clusters do not show it.

    The items' part of the variance of crossed clusters is v/items, of which a sum over clusters sees v/of: Cameron, Gelbach
    and Miller (2011), Journal of Business and Economic Statistics 29:238-249. v is at most that of a try.
    """
    return max(0.0, 1 / items - 1 / of) if items else 0.0


def paired_difference(clusters: Mapping[tuple[int, int, int], int], items: int | None = None) -> Difference | None:
    """First rate minus second, pooled over clusters {(of, first count, second count): how many such clusters}.

    The t interval of a ratio over m clusters, so that members and pairs stay together: Cochran (1977), Sampling Techniques,
    section 2.11, var = m/(m-1) sum (d_i - r n_i)^2 / (sum n_i)^2. Where all clusters agree it would have no width: there each
    counts as one pair in the interval of Bonett and Price (2012), Journal of Educational and Behavioral Statistics 37:479-488,
    which adds one difference of +1 and one of -1. None below two clusters. items: as in `clustered`.
    """
    kinds = np.array(sorted(clusters), dtype=float).reshape(-1, 3)
    times = np.array([clusters[int(of), int(first), int(second)] for of, first, second in kinds])
    m = int(times.sum())
    if m < 2:
        return None
    of, first, second = (float(total) for total in times @ kinds)
    middle = difference = (first - second) / of
    spread = float(times @ (kinds[:, 1] - kinds[:, 2] - difference * kinds[:, 0]) ** 2)
    if spread > 1e-9:
        half = _t95(m - 1) * sqrt(m / (m - 1) * spread) / of
    else:
        middle *= m / (m + 2)
        half = Z95 * sqrt(((m * difference**2 + 2) / (m + 2) - middle**2) / (m + 2))
    shared = (first / of * (1 - first / of) + second / of * (1 - second / of)) * _shared(of, items)
    half = sqrt(half**2 + Z95**2 * shared)
    return Difference(difference=difference, low=max(-1.0, middle - half), high=min(1.0, middle + half))


def bonett_price(only_first: int, only_second: int, of: int) -> Difference | None:
    """First rate minus second over the same `of` samples, from the counts of those where only one of them holds.

    Adjusted Wald interval of Bonett and Price (2012), Journal of Educational and Behavioral Statistics 37:479-488:
    with p1 = (only_first + 1) / (n + 2) and p2 alike, p1 - p2 -+ z sqrt((p1 + p2 - (p1 - p2)^2) / (n + 2)). None for no sample.
    """
    if of == 0:
        return None
    first, second = (only_first + 1) / (of + 2), (only_second + 1) / (of + 2)
    half = Z95 * sqrt((first + second - (first - second) ** 2) / (of + 2))
    middle = first - second
    return Difference(
        difference=(only_first - only_second) / of, low=max(-1.0, middle - half), high=min(1.0, middle + half)
    )


def _t95(degrees: int) -> float:
    """The 97.5% quantile of Student's t distribution."""
    return float(stdtrit(degrees, 0.975))


def in_words(rate: Rate) -> str:
    """`45% (9/20)`."""
    return f"{rate.count}/{rate.of}" if rate.rate is None else f"{rate.rate:.0%} ({rate.count}/{rate.of})"


def points(difference: Difference) -> str:
    """`+4 points (95% interval -10 to +18)`."""
    interval = f"95% interval {100 * difference.low:+.0f} to {100 * difference.high:+.0f}"
    return f"{100 * difference.difference:+.0f} points ({interval})"


def newcombe(first: Rate, second: Rate) -> Difference | None:
    """first - second with the hybrid score interval of Newcombe (1998), Statistics in Medicine 17:873-890, method 10:

    d - sqrt((p1-l1)^2 + (u2-p2)^2) .. d + sqrt((u1-p1)^2 + (p2-l2)^2), l and u being Wilson's limits.
    It takes the two rates as independent. None if either has nothing to count.
    """
    p1, l1, u1 = first.rate, first.low, first.high
    p2, l2, u2 = second.rate, second.low, second.high
    if p1 is None or l1 is None or u1 is None or p2 is None or l2 is None or u2 is None:
        return None
    difference = p1 - p2
    low = difference - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = difference + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return Difference(difference=difference, low=low, high=high)


def mean_of(histogram: Mapping[int, int], least: float = -inf, most: float = inf) -> Mean:
    """The mean of the values in a histogram {value: how often}, with its interval.

    least, most: what values are possible. Where both are known, see `_bounded_limits`, else `_student_limits`, cut to them.
    """
    values = np.array(sorted(histogram), dtype=np.int64)
    times = np.array([histogram[int(value)] for value in values], dtype=np.int64)
    of = int(times.sum())
    if of == 0:
        return Mean(of=0, mean=None, low=None, high=None, median=None, p90=None)
    bounded = isfinite(least) and isfinite(most)
    low, high = _bounded_limits(values, times, least, most) if bounded else _student_limits(values, times)
    return Mean(
        of=of,
        mean=float(times @ values / of),
        low=None if low is None else max(least, low),
        high=None if high is None else min(most, high),
        median=_quantile(values, times, 0.5),
        p90=_quantile(values, times, 0.9),
    )


def _student_limits(values: np.ndarray, times: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """mean -+ t s / sqrt(n), which of skewed values holds the true mean more often than a percentile bootstrap, most of all
    when they are few: Hesterberg (2015), The American Statistician 69:371-386."""
    if len(values) < 2:
        return None, None
    of = int(times.sum())
    mean = float(times @ values / of)
    half = _t95(of - 1) * sqrt(float(times @ (values - mean) ** 2) / (of - 1) / of)
    return mean - half, mean + half


def _bounded_limits(values: np.ndarray, times: np.ndarray, least: float, most: float) -> tuple[float, float]:
    """The 2.5% quantile of the mean under weights from a flat Dirichlet over the values and one more at `least`, and the 97.5%
    quantile with one more at `most`: Learned-Miller and Thomas (2019), arxiv.org/abs/1905.06208. Of zeros and ones that is the
    interval of Clopper and Pearson.

    Student's t does not know that values which were not seen may lie far off: of 10 items whose layers saved pile up at the
    most that can be, as they do, its interval held the true mean in 80% to 87% of draws and this one in 98% or more.
    """
    drawn = np.random.default_rng(0).standard_gamma(np.append(times, 1), size=(_DRAWS, len(times) + 1))
    drawn /= drawn.sum(axis=1, keepdims=True)
    seen, unseen = drawn[:, :-1] @ values, drawn[:, -1]
    low, high = np.quantile(seen + unseen * least, 0.025), np.quantile(seen + unseen * most, 0.975)
    mean = float(times @ values / times.sum())
    return min(mean, float(low)), max(mean, float(high))


def _quantile(values: np.ndarray, times: np.ndarray, share: float) -> float:
    """The value below which `share` of all values lie, linear between neighbours as NumPy's default method."""
    ends = np.cumsum(times)
    position = share * (ends[-1] - 1)
    floor, ceiling = np.floor(position), np.ceil(position)
    below, above = values[np.searchsorted(ends, [floor, ceiling], side="right")]
    return float(below + (position - floor) * (above - below))
