"""experiments/search_quality.py: what a search is told to begin with, and what of it becomes a row."""

import math
from types import SimpleNamespace
from typing import Any

import search_quality

from cola_search.chain import Chain
from cola_search.outcome import Ledger, Outcome, Score
from cola_search.priors import SKIP


def found(*told: tuple[str, bool, float]) -> Outcome:
    """The outcome of a search of a model with 4 layers that was told these chains, verdicts and costs, one by one."""
    ledger = Ledger(4)
    for chain, right, cost in told:
        ledger.record([Chain.parse(chain)], [Score(right, 1.0)], cost)
    return ledger.outcome(tree=[])


def test_an_early_exit_costs_no_layers_but_a_read_of_the_head() -> None:
    outcome = found(("0-3", False, 4.0), ("0-2", True, 0.0), ("0", True, 0.0))
    assert search_quality.measured([outcome], [4, 6, 8], 4)["shortest"] == [[1, 1, 1]]
    charged = search_quality.with_reads([outcome], [4, 6, 8], [2.0])
    assert charged == {"shortest": [[0, 3, 1]], "first_fix": [6]}


def test_an_item_that_the_base_failed_on_has_no_verdict() -> None:
    ledger = Ledger(4)
    ledger.record([Chain.identity(4)], [Score(False, math.nan, error="the grader failed")], 4.0)
    assert search_quality.base_verdict(ledger.outcome([])) is None


def test_what_is_learnt_of_other_samples_is_where_a_search_begins() -> None:
    settings = search_quality.settings_of("edits", 100.0)
    outcomes = [found(("0-3", False, 4.0), ("0-2", True, 4.0)), found(("0-3", True, 4.0), ("0", True, 4.0))] * 2
    samples: Any = [SimpleNamespace(id=name) for name in "abcd"]
    begin = search_quality.taught(samples, outcomes, settings, 4)
    assert (begin.lessons.wrong, begin.lessons.right) == ([Chain([0, 1, 2])], [Chain([0])])
    assert begin.table[3, SKIP] > search_quality.untaught(settings, 4).table[3, SKIP]
