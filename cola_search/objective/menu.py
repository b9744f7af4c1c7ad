"""Menus: a few chains that are run together on an item whose answer nobody knows, chosen on calibration items."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from cola_search.chain import Chain
from cola_search.lessons import greedy_menu
from cola_search.objective.option_table import OptionTable, log_softmax
from cola_search.records import Record

Menu = list[Chain]


def menu_cost(chains: Iterable[Chain], head_cost: float = 0.0) -> float:
    """Layer executions of running these chains over one item, prefixes shared: the nodes of their token tree, which is
    what a session of the engine counts, and head_cost for every chain but one.

    One read of the head is in the cost of the base too, so it is not counted; an early exit costs no layers beside the
    chain that it is a prefix of, but a read.
    """
    distinct = set(chains)
    nodes = {chain[:end] for chain in distinct for end in range(1, len(chain) + 1)}
    return len(nodes) + max(0, len(distinct) - 1) * head_cost


def exits(chain: Chain) -> list[Chain]:
    """The early exits of a chain: its proper prefixes, shortest first."""
    return [Chain(chain[:end]) for end in range(1, len(chain))]


def single_edits(num_layers: int, max_block: int = 4) -> list[Chain]:
    """The identity chain with one block of 1 to max_block layers skipped, or run twice."""
    base = Chain.identity(num_layers)
    spans = [(start, size) for size in range(1, max_block + 1) for start in range(num_layers - size + 1)]
    return [base.skip(*span) for span in spans] + [base.repeat(*span, 1) for span in spans]


def joined_edit(skip: Chain, edit: Chain, num_layers: int) -> Chain | None:
    """`edit` without the layers that `skip` skips; None where both touch one layer, or nothing would be left."""
    skipped = skip.skipped(num_layers)
    if any(edit.counts(num_layers)[layer] != 1 for layer in skipped):
        return None
    kept = [layer for layer in edit if layer not in skipped]
    return Chain(kept) if kept else None


def solved_by(records: Iterable[Record]) -> dict[Chain, set[str]]:
    """By chain the ids of the samples that it solved, in the records of earlier searches, by stock transformers where they say."""
    solved: dict[Chain, set[str]] = {}
    for record in records:
        for row in record.chains:
            if record.is_right(row):
                solved.setdefault(Chain.parse(row.chain), set()).add(record.sample)
    return solved


def generic_chains(solved: Mapping[Chain, AbstractSet[str]], size: int, longest: int) -> list[Chain]:
    """At most `size` chains of at most `longest` layers that solved most samples: half of them those that solved the
    most, the others by greedy cover, so that rare samples are covered too. Ties go to the shorter chain."""
    short = {chain: samples for chain, samples in solved.items() if len(chain) <= longest}
    often = Counter({chain: len(samples) for chain, samples in short.items()})
    ranked = sorted(often, key=lambda chain: (-often[chain], len(chain), chain))
    return list(dict.fromkeys([*ranked[: size // 2], *greedy_menu(short, size - size // 2), *ranked]))[:size]


def keep_best(table: OptionTable, size: int, always: Sequence[Chain]) -> list[Chain]:
    """`always`, and the `size` chains that do best on these items: the first heat of a race.

    Half of them by accuracy, half by the items that they solve and the base (the table's first chain) does not.
    """
    right = table.right
    by_accuracy = np.argsort(-right.mean(axis=0), kind="stable")
    by_fixes = np.argsort(-right[~right[:, 0]].sum(axis=0), kind="stable")
    mixed = [table.chains[int(k)] for pair in zip(by_accuracy, by_fixes, strict=True) for k in pair]
    best = [chain for chain in dict.fromkeys(mixed) if chain not in always][:size]
    return [*dict.fromkeys(always), *best]


def cover_menu(table: OptionTable, budget: float, size: int) -> Menu:
    """Greedy cover: each chain the one that solves most of the items that none before it solves, within the budget."""
    right = table.right
    return _greedy(table, budget, size, lambda columns: float(np.logical_or.reduce(right[:, columns], axis=1).mean()))


def ensemble_menu(table: OptionTable, budget: float, size: int) -> Menu:
    """Greedy by gain of the averaged log-probabilities: of what they give the right options, in nats an item.

    Accuracy itself moves in steps of an item and is overfitted at once; the log-probability is a proper score.
    """
    log_probs = table.log_probs

    def gain(columns: list[int]) -> float:
        mean = log_softmax(log_probs[:, columns].mean(axis=1))
        # Clipped after the sum: an item that no chain solves has no gold option in a generated table, and log 0 is -inf.
        return float(np.log(np.exp(mean).sum(axis=1, where=table.golds).clip(1e-12)).mean())

    return _greedy(table, budget, size, gain)


def best_chain_menu(table: OptionTable, budget: float, size: int) -> Menu:
    """The one chain that is right most often within the budget; ties go to the shorter one."""
    fitting = [k for k, chain in enumerate(table.chains) if len(chain) <= budget]
    rates = table.right.mean(axis=0)
    return [table.chains[min(fitting, key=lambda k: (-rates[k], len(table.chains[k])))]] if fitting else []


def exits_menu(table: OptionTable, budget: float, size: int) -> Menu:
    """The base (the table's first chain) and at most `size - 1` of its early exits, evenly spread: as many as the budget
    has reads of the head for; empty if that is none."""
    base = table.chains[0]
    found = sorted((chain for chain in table.chains if chain != base and base[: len(chain)] == chain), key=len)
    fitting = [count for count in range(1, size) if len(base) + count * table.head_cost <= budget]
    if not fitting:
        return []
    places = np.linspace(0, len(found) - 1, min(max(fitting), len(found))).round().astype(int)
    return [base, *(found[k] for k in dict.fromkeys(places.tolist()))]


def _greedy(table: OptionTable, budget: float, size: int, value: Callable[[list[int]], float]) -> Menu:
    """Chains added one by one, each the one that raises `value` most and keeps the shared cost within the budget."""
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < size:
        menu = [table.chains[k] for k in chosen]
        fitting = [k for k in range(len(table.chains)) if k not in chosen]
        fitting = [k for k in fitting if menu_cost([*menu, table.chains[k]], table.head_cost) <= budget]
        gains = {k: value([*chosen, k]) for k in fitting}
        if not gains or max(gains.values()) <= best:
            break
        best = max(gains.values())
        chosen.append(min(fitting, key=lambda k: (-gains[k], len(table.chains[k]))))
    return [table.chains[k] for k in chosen]
