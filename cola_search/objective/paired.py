"""Two methods on the same items: exact McNemar test, interval of the difference, non-inferiority, Holm's correction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, inf, sqrt
from statistics import NormalDist

LEVEL = 0.95
_HALVINGS = 60  # of an interval of length 2, which is then below the precision of a float


@dataclass(frozen=True)
class Paired:
    """Right and wrong of a method and of its base on the same `n` items.

    gained: the method is right and the base is wrong. lost: the base is right and the method is wrong.
    """

    n: int
    base_right: int
    gained: int
    lost: int

    @property
    def right(self) -> int:
        """How many items the method has right."""
        return self.base_right + self.gained - self.lost

    @property
    def difference(self) -> float:
        """Accuracy of the method minus that of the base; nan without items."""
        return (self.gained - self.lost) / self.n if self.n else float("nan")

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """(low, high) of the difference, two-sided (see lower_bound)."""
        one_sided = (1 + level) / 2
        return self.lower_bound(one_sided), self.upper_bound(one_sided)

    def lower_bound(self, level: float = LEVEL) -> float:
        """One-sided lower bound of the difference: what Tango's score test (see score_z) does not reject."""
        quantile = NormalDist().inv_cdf(level)
        return _first_below(lambda difference: score_z(self, difference), quantile) if self.n else -1.0

    def upper_bound(self, level: float = LEVEL) -> float:
        """One-sided upper bound of the difference."""
        return -Paired(self.n, self.right, self.lost, self.gained).lower_bound(level)

    def not_worse(self, margin: float) -> bool:
        """True iff the lower bound of the difference is above -margin: non-inferiority, one-sided at 95%."""
        return self.lower_bound() > -margin

    def p_not_worse(self, margin: float) -> float:
        """p-value, one-sided, against "worse by at least margin"; 1 without items."""
        return 1 - NormalDist().cdf(score_z(self, -margin)) if self.n else 1.0

    @property
    def p_two_sided(self) -> float:
        """Exact McNemar p-value against "equally accurate"."""
        return min(1.0, 2 * min(_tail(self.gained, self.lost), _tail(self.lost, self.gained)))

    @property
    def p_better(self) -> float:
        """Exact McNemar p-value, one-sided, against "not more accurate than the base"."""
        return _tail(self.gained, self.lost)


def pair(base: Sequence[bool], method: Sequence[bool]) -> Paired:
    """The counts of two lists of verdicts, in the same order of items."""
    both = [(bool(b), bool(m)) for b, m in zip(base, method, strict=True)]
    return Paired(len(both), sum(b for b, _ in both), both.count((False, True)), both.count((True, False)))


def score_z(pair: Paired, difference: float) -> float:
    """Tango's score statistic of paired counts against a difference of proportions in [-1, 1].

    z = (b - c - n d) / sqrt(n (2 q + d (1 - d))), with b gained, c lost, and q the largest root of
    2n q^2 + (-b - c + (2n - b + c) d) q - c d (1 - d) = 0, the maximum-likelihood estimate of P(lost) given d.

    Source: Tango (1998), Statistics in Medicine 17, 891-908, equations 5 to 8.
    """
    n, b, c, d = pair.n, pair.gained, pair.lost, difference
    linear = -b - c + (2 * n - b + c) * d
    lost = (sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d))) - linear) / (4 * n)
    variance = n * (2 * lost + d * (1 - d))
    excess = b - c - n * d
    if variance <= 0:
        return inf if excess > 0 else -inf if excess < 0 else 0.0
    return excess / sqrt(variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: below 0.05 iff rejected at 5% over all of them together.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _tail(wins: int, losses: int) -> float:
    """P(at least so many wins among wins + losses throws of a fair coin)."""
    throws = wins + losses
    return sum(comb(throws, k) for k in range(wins, throws + 1)) / 2**throws


def _first_below(statistic: Callable[[float], float], limit: float) -> float:
    """The smallest difference at which a falling statistic is not above the limit."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if statistic(middle) > limit else (low, middle)
    return high
