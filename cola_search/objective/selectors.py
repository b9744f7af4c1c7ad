"""Which option to answer, from what the chains of a menu say and without the answer key.

A selector is fitted on calibration items, whose gold answers it may use, and then chooses on items whose gold answers it
does not read. Rules that need no fitting ignore the calibration items.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from cola_search.objective.menu import menu_cost
from cola_search.objective.option_table import OptionTable, log_softmax


class Choice(NamedTuple):
    """The options chosen, int [N], and what that cost each item in layer executions (menu_cost), [N]."""

    options: np.ndarray
    cost: np.ndarray


Rule = Callable[[OptionTable], Choice]
Selector = Callable[[OptionTable], Rule]
Combine = Callable[[np.ndarray], np.ndarray]
"""From log-probabilities [N, K, O] to a score of each option [N, O]; the largest is chosen."""

MISSING = -1e9  # the score of an option that an item does not have, where arithmetic would make nan of -inf
RIDGE = 3.0  # the penalty on the weights of `weighted`
THRESHOLDS = 21  # that a cascade tries: quantiles of its confidence
FLOOR_OF_FEATURES = -100.0  # nats: an option that a chain cannot score must not drown all others


def whole_menu(table: OptionTable) -> np.ndarray:
    """[N]: the cost of running every chain of the table over each item."""
    return np.full(len(table), menu_cost(table.chains, table.head_cost))


def most_confident(log_probs: np.ndarray) -> np.ndarray:
    """The scores of the chain whose best option has the highest log-probability."""
    return _by_chain(log_probs, log_probs.max(axis=2))


def least_entropy(log_probs: np.ndarray) -> np.ndarray:
    """The scores of the chain whose distribution over the options has the least entropy, -sum p ln p."""
    p = np.exp(log_probs)
    return _by_chain(log_probs, np.where(p > 0, p * np.where(p > 0, log_probs, 0), 0).sum(axis=2))


def largest_margin(log_probs: np.ndarray) -> np.ndarray:
    """The scores of the chain whose best option leads the second by most."""
    ordered = np.sort(np.maximum(log_probs, MISSING), axis=2)
    return _by_chain(log_probs, ordered[:, :, -1] - ordered[:, :, -2] if log_probs.shape[2] > 1 else ordered[:, :, -1])


def vote(log_probs: np.ndarray) -> np.ndarray:
    """How many chains choose each option; a tie goes to the higher mean probability."""
    chosen = log_probs.argmax(axis=2)[:, :, None] == np.arange(log_probs.shape[2])
    return chosen.sum(axis=1) + np.exp(log_probs).mean(axis=1) / 2


def mean_log_prob(log_probs: np.ndarray) -> np.ndarray:
    """The mean of the chains' log-probabilities."""
    return log_probs.mean(axis=1)


def mean_prob(log_probs: np.ndarray) -> np.ndarray:
    """The mean of the chains' probabilities."""
    return np.exp(log_probs).mean(axis=1)


COMBINATIONS: Mapping[str, Combine] = {
    "confidence": most_confident,
    "entropy": least_entropy,
    "margin": largest_margin,
    "vote": vote,
    "mean_log_prob": mean_log_prob,
    "mean_prob": mean_prob,
}
"""The rules that need no fitting."""


def plain(combine: Combine) -> Selector:
    """The selector that runs the whole menu and combines what its chains say."""
    return lambda _: lambda table: _choose(table, combine(table.log_probs))


def tempered(combine: Combine) -> Selector:
    """The same with a temperature for each chain, fitted on calibration: the one under which its gold answers are most
    likely (temperature scaling, arxiv.org/abs/1706.04599, section 4.2)."""

    def fit(calibration: OptionTable) -> Rule:
        scale = _inverse_temperatures(calibration)[None, :, None]
        return lambda table: _choose(table, combine(log_softmax(table.log_probs * scale)))

    return fit


def unbiased(combine: Combine) -> Selector:
    """The same with each chain's mean log-probability of each option position taken off, as calibration has it without
    its answers; for tasks whose options mean the same on every item, such as yes and no.

    Contextual calibration (arxiv.org/abs/2102.09690, section 4) with the items themselves as the context-free input, as
    batch calibration (arxiv.org/abs/2309.17249, equation 3).
    """

    def fit(calibration: OptionTable) -> Rule:
        known = calibration.valid[:, None]
        bias = np.where(known, calibration.log_probs, 0).sum(axis=0) / known.sum(axis=0).clip(1)
        return lambda table: _choose(table, combine(log_softmax(table.log_probs - _fitted(bias, table))))

    return fit


def weighted() -> Selector:
    """A weight for each chain, which may be negative: P(option) ~ exp(sum_k w_k f_k), fitted to the gold answers of
    calibration with a ridge penalty (conditional logit). The features f are those of option_features.

    An early exit with a negative weight is DoLa's contrast (arxiv.org/abs/2309.03883, equation 3), with the weight fitted.
    """

    def fit(calibration: OptionTable) -> Rule:
        spread = option_features(calibration)[calibration.valid].std(axis=0) + 1e-9
        weights = _conditional_logit(option_features(calibration) / spread, calibration, RIDGE)
        return lambda table: _choose(table, option_features(table) / spread @ weights)

    return fit


def option_features(table: OptionTable) -> np.ndarray:
    """[N, O, 2K + 1]: each chain's score of the option and that score per byte, less the item's mean, and the log of
    the option's bytes; 0 where there is no option."""
    valid = table.valid[:, :, None]
    scores = np.where(np.isfinite(table.scores), table.scores, FLOOR_OF_FEATURES).transpose(0, 2, 1)
    raw = np.concatenate([scores, scores / table.sizes[:, :, None], np.log(table.sizes)[:, :, None]], axis=2)
    mean = np.where(valid, raw, 0).sum(axis=1, keepdims=True) / valid.sum(axis=1, keepdims=True)
    features: np.ndarray = np.where(valid, raw - mean, 0)
    return features


def cascade(budget: float) -> Selector:
    """Chains one after the other, shortest first, until the mean of those that ran is confident enough.

    The threshold is the one that is most accurate on calibration among those whose mean cost there is within the budget.
    """

    def fit(calibration: OptionTable) -> Rule:
        stages = _Stages(calibration)
        levels = (
            np.unique(np.quantile(stages.confidence[:, :-1], np.linspace(0, 1, THRESHOLDS))) if stages.many else [0.0]
        )
        found = [(stages.choose(level), level) for level in [-np.inf, *levels, np.inf]]
        fitting = [
            (_accuracy(calibration, c.options), -c.cost.mean(), lv) for c, lv in found if c.cost.mean() <= budget
        ]
        level = max(fitting)[2] if fitting else -np.inf
        return lambda table: _Stages(table).choose(level)

    return fit


class _Stages:
    """A table's chains as a cascade: what each item says, and has cost, after the first k + 1 of them."""

    def __init__(self, table: OptionTable) -> None:
        chains = sorted(table.chains, key=lambda chain: (len(chain), chain))
        log_probs = table.columns(chains).log_probs
        means = [log_softmax(log_probs[:, : k + 1].mean(axis=1)) for k in range(len(chains))]
        self.many = len(chains) > 1
        self.options = np.stack([mean.argmax(axis=1) for mean in means], axis=1)
        self.confidence = np.stack([mean.max(axis=1) for mean in means], axis=1)
        self.cost = np.array([menu_cost(chains[: k + 1], table.head_cost) for k in range(len(chains))])

    def choose(self, level: float) -> Choice:
        """Each item's answer after the first stage whose confidence is at least `level`, or after the last."""
        stops = self.confidence >= level
        stops[:, -1] = True
        stage = stops.argmax(axis=1)
        return Choice(self.options[np.arange(len(stage)), stage], self.cost[stage])


def _choose(table: OptionTable, scores: np.ndarray) -> Choice:
    return Choice(np.where(table.valid, scores, -np.inf).argmax(axis=1), whole_menu(table))


def _by_chain(log_probs: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """[N, O]: the log-probabilities of the chain of which each item is surest, sure [N, K]; the first one of equals."""
    return np.take_along_axis(log_probs, sure.argmax(axis=1)[:, None, None], axis=1)[:, 0]


def _accuracy(table: OptionTable, options: np.ndarray) -> float:
    return float(right_of(table, options).mean())


def right_of(table: OptionTable, options: np.ndarray) -> np.ndarray:
    """Bool [N]: whether the chosen options are right. The only place where a choice meets the answer key.

    table: of the chains that the choice was made from; an item of which none of them says anything is wrong.
    """
    right: np.ndarray = np.take_along_axis(table.golds, options[:, None], axis=1)[:, 0]
    return right & table.answered.any(axis=1)


def _fitted(bias: np.ndarray, table: OptionTable) -> np.ndarray:
    """bias [K, O] with as many options as the table has: more are cut, missing ones are 0."""
    out = np.zeros((bias.shape[0], table.golds.shape[1]))
    width = min(bias.shape[1], out.shape[1])
    out[:, :width] = bias[:, :width]
    return out


def _inverse_temperatures(table: OptionTable) -> np.ndarray:
    """[K]: per chain the factor on its log-probabilities under which the gold answers are most likely."""
    grid = np.geomspace(0.05, 5, 31)
    likelihood = np.stack([_gold_log_prob(log_softmax(table.log_probs * factor), table.golds) for factor in grid])
    best: np.ndarray = grid[likelihood.mean(axis=1).argmax(axis=0)]
    return best


def _gold_log_prob(log_probs: np.ndarray, golds: np.ndarray) -> np.ndarray:
    """[N, K]: log of the probability that each chain gives to the right options."""
    share = np.exp(log_probs).sum(axis=2, where=golds[:, None])
    return np.log(share.clip(1e-12))


def _conditional_logit(features: np.ndarray, table: OptionTable, ridge: float) -> np.ndarray:
    """Weights [F] that maximise sum_n log P(gold) - ridge |w|^2 / 2, where P is the softmax over the options of w . f.

    McFadden (1974), Conditional logit analysis of qualitative choice behavior, equation 12.
    """
    missing = np.where(table.valid, 0.0, MISSING)
    golds = table.golds & table.valid
    usable = golds.any(axis=1)
    features, missing, golds = features[usable], missing[usable], golds[usable]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(features @ weights + missing)
        p = np.exp(log_p)
        of_gold = np.where(golds, p, 0) / np.where(golds, p, 0).sum(axis=1, keepdims=True).clip(1e-12)
        likelihood = np.log(np.where(golds, p, 0).sum(axis=1).clip(1e-12)).sum()
        gradient = np.einsum("no,nof->f", of_gold - p, features)
        return ridge * weights @ weights / 2 - likelihood, ridge * weights - gradient

    result: np.ndarray = minimize(loss, np.zeros(features.shape[2]), jac=True, method="L-BFGS-B").x
    return result
