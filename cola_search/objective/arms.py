"""Menus times selectors: each pair is tried on calibration items, one is chosen there, and all are counted on held-out items."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cola_search.chain import Chain
from cola_search.objective import selectors
from cola_search.objective.classifiers import boosted, routed
from cola_search.objective.menu import Menu, best_chain_menu, cover_menu, ensemble_menu, exits_menu
from cola_search.objective.option_table import OptionTable
from cola_search.objective.paired import holm, pair
from cola_search.objective.selectors import Choice, Selector, right_of
from cola_search.report.stats import wilson

MENUS: dict[str, Callable[[OptionTable, float, int], Menu]] = {
    "base": lambda table, budget, size: [table.chains[0]],
    "chain": best_chain_menu,
    "exits": exits_menu,
    "cover": cover_menu,
    "ensemble": ensemble_menu,
}
"""`base` is the control: what a selector does for the untouched model alone."""

FOLDS = 5  # of the cross-validation


@dataclass(frozen=True)
class Arm:
    """A way to build a menu on calibration items, within a budget of layer executions an item, and to choose with it."""

    menu: str
    selector: str
    budget: float

    @property
    def control(self) -> bool:
        """Whether it runs nothing but the untouched model."""
        return self.menu == "base"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An arm on items that it was not fitted on. right bool [N]; cost: mean layer executions of an item."""

    menu: Menu
    right: np.ndarray
    cost: float


def make_arms(num_layers: int, shares: Sequence[float], *, generated: bool) -> list[Arm]:
    """The arms to try: budgets are these shares of the model's layers, 1 the cost of the base."""
    if generated:
        names = {"base": ["chain"], "chain": ["chain"], "cover": ["vote"], "ensemble": ["vote"]}
    else:
        fitted = ["weighted", "boosted", "unbiased"]
        whole = [*selectors.COMBINATIONS, "tempered_mean", *fitted, "cascade", "routed"]
        names = {
            "base": ["chain", *fitted],
            "chain": ["chain", *fitted],
            "exits": whole,
            "cover": whole,
            "ensemble": whole,
        }
    arms = [Arm(menu, name, share * num_layers) for share in shares for menu, some in names.items() for name in some]
    # The base costs what it costs, no other budget changes it; its exits run all its layers, and read the head besides.
    at_least = [arm for arm in arms if arm.menu not in ("base", "exits") or arm.budget >= num_layers]
    return [arm for arm in at_least if arm.menu != "base" or arm.budget == num_layers]


def make_selector(arm: Arm, base: Chain) -> Selector:
    """The arm's selector, not yet fitted."""
    match arm.selector:
        case "chain":
            return selectors.plain(selectors.mean_log_prob)
        case "tempered_mean":
            return selectors.tempered(selectors.mean_log_prob)
        case "unbiased":
            return selectors.unbiased(selectors.mean_log_prob)
        case "weighted":
            return selectors.weighted()
        case "cascade":
            return selectors.cascade(arm.budget)
        case "routed":
            return routed(base)
        case "boosted":
            return boosted()
        case name:
            return selectors.plain(selectors.COMBINATIONS[name])


def build_menus(calibration: OptionTable, arms: Sequence[Arm], size: int) -> dict[tuple[str, float], Menu]:
    """By (menu, budget) the chains chosen on these items; empty where none fits."""
    kinds = dict.fromkeys((arm.menu, arm.budget) for arm in arms)
    return {(menu, budget): MENUS[menu](calibration, budget, size) for menu, budget in kinds}


def apply_arm(arm: Arm, menu: Menu, calibration: OptionTable, items: OptionTable) -> Judged:
    """The arm fitted on calibration items, on other items. An empty menu has nothing right and costs nothing."""
    if not menu:
        return Judged(menu=menu, right=np.zeros(len(items), dtype=bool), cost=0.0)
    rule, table = make_selector(arm, calibration.chains[0])(calibration.columns(menu)), items.columns(menu)
    choice: Choice = rule(table)
    return Judged(menu=menu, right=right_of(table, choice.options), cost=float(choice.cost.mean()))


def cross_validate(
    table: OptionTable, arms: Sequence[Arm], size: int, seed: int = 0, on: np.ndarray | None = None
) -> list[Judged]:
    """Each arm on calibration items, with menu and selector chosen on the other folds; the menu that it tells is empty.

    An arm whose menu is empty in some fold has nothing right and costs nothing, as in apply_arm, so nobody chooses it.
    There are FOLDS of them, or fewer where there are fewer items to judge by, but at least 2.
    on: the places of the items to judge by, best those that the table's chains were not found on (None: all); the others
    are in no fold, so that every menu and selector may use them.
    """
    on = np.arange(len(table)) if on is None else on
    folds = max(2, min(FOLDS, len(on)))
    fold = np.full(len(table), -1)
    fold[on] = np.random.default_rng(seed).permutation(len(on)) % folds
    right = np.zeros((len(arms), len(table)), dtype=bool)
    cost = np.zeros((len(arms), folds))
    for f in range(folds):
        train, test = table.rows(np.flatnonzero(fold != f)), table.rows(np.flatnonzero(fold == f))
        menus = build_menus(train, arms, size)
        for a, arm in enumerate(arms):
            judged = apply_arm(arm, menus[arm.menu, arm.budget], train, test)
            right[a, fold == f], cost[a, f] = judged.right, judged.cost
    # A fold without a menu costs nothing, and so the mean over the folds would be too low to be true.
    fits = (cost > 0).all(axis=1)
    right[~fits], cost[~fits] = False, 0.0
    return [Judged(menu=[], right=right[a, on], cost=float(cost[a].mean())) for a in range(len(arms))]


def choose_arm(arms: Sequence[Arm], judged: Sequence[Judged], budget: float, *, control: bool) -> Arm | None:
    """The arm that was right most often in cross-validation at a mean cost within the budget, cheapest of equals; None if
    there is none. `control`: among those that run the untouched model alone, or among the others."""
    fitting = [
        (-int(j.right.sum()), j.cost, i)
        for i, (arm, j) in enumerate(zip(arms, judged, strict=True))
        if arm.control == control and 0 < j.cost <= budget * (1 + 1e-9)
    ]
    return arms[min(fitting)[2]] if fitting else None


def held_out_table(
    calibration: OptionTable,
    held_out: OptionTable,
    arms: Sequence[Arm],
    crossed: Sequence[Judged],
    size: int,
    margin: float,
) -> list[dict[str, Any]]:
    """A row for each arm on held-out items, beside the base (the first row) and the best control.

    p: exact McNemar, two-sided, against the base; p_control: against the control that was chosen on calibration.
    p_holm: corrected for all the arms that are not controls; p_holm_chosen: for those that calibration chose, the only
    ones that anybody would have run. chosen: the budgets at which calibration chooses this arm. not_worse: one-sided 95%,
    by `margin`, a share of the items.
    """
    menus = build_menus(calibration, arms, size)
    judged = [apply_arm(arm, menus[arm.menu, arm.budget], calibration, held_out) for arm in arms]
    base = held_out.right[:, 0]
    length = float(len(calibration.chains[0]))
    control = choose_arm(arms, crossed, length, control=True)
    beside = judged[arms.index(control)].right if control else base
    budgets = sorted({arm.budget for arm in arms})
    chosen = {budget: choose_arm(arms, crossed, budget, control=False) for budget in budgets}
    rows = [
        {
            **asdict(arm),
            **_counted(base, beside, one, margin),
            "chains": [str(chain) for chain in one.menu],
            "calibration": round(float(cv.right.mean()), 4),
            "calibration_cost": round(cv.cost, 2),
            "chosen": [budget for budget, best in chosen.items() if best == arm] + ([length] if arm == control else []),
        }
        for arm, one, cv in zip(arms, judged, crossed, strict=True)
    ]
    tried = [row for row in rows if row["menu"] != "base" and row["chains"]]
    for key, some in (("p_holm", tried), ("p_holm_chosen", [row for row in tried if row["chosen"]])):
        for row, p in zip(some, holm([row["p"] for row in some]), strict=True):
            row[key] = p
    return rows


def _counted(base: np.ndarray, control: np.ndarray, one: Judged, margin: float) -> dict[str, Any]:
    paired, rate = pair(base.tolist(), one.right.tolist()), wilson(int(one.right.sum()), len(one.right))
    low, high = paired.interval()
    return {
        "cost": round(one.cost, 2),
        **asdict(rate),
        "gained": paired.gained,
        "lost": paired.lost,
        "difference": paired.difference,
        "difference_low": low,
        "difference_high": high,
        "not_worse": paired.not_worse(margin),
        "p": paired.p_two_sided,
        "p_control": pair(control.tolist(), one.right.tolist()).p_two_sided,
    }


def oracle_rows(
    calibration: OptionTable, held_out: OptionTable, budgets: Sequence[float], size: int
) -> list[dict[str, Any]]:
    """Per budget, how many held-out items some chain of the cover menu has right: chosen with their answer key."""
    rows = []
    for budget in budgets:
        menu = cover_menu(calibration, budget, size)
        if menu:
            right = held_out.columns(menu).covered
            rate = wilson(int(right.sum()), len(right))
            rows.append(
                {
                    "menu": "cover",
                    "selector": "oracle",
                    "budget": budget,
                    **asdict(rate),
                    "chains": list(map(str, menu)),
                }
            )
    return rows
