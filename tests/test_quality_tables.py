"""experiments/search_quality.py and its tables: what reads of the head cost, and which items are compared."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import quality_tables
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


def row(base: list[int], shortest: list[int]) -> dict[str, Any]:
    return {
        "num_layers": 10,
        "grid": [20],
        "base": base,
        "shortest": [[length] for length in shortest],
        "evaluations": 9,
        "chains": 2,
    }


def test_items_on_whose_base_two_searches_disagree_are_not_compared() -> None:
    mine, other = [row([1, 1, 0], [5, 9, 0])], [row([1, 0, 1], [8, 1, 2])]
    assert quality_tables.saved(mine, 2).tolist() == [5, 1]
    assert quality_tables.saved(mine, 2, mine + other).tolist() == [5]
    assert quality_tables.ratio(mine, other, 2).startswith("2.50")


def test_an_item_that_the_base_failed_on_is_neither_right_nor_wrong() -> None:
    ledger = Ledger(4)
    ledger.record([Chain.identity(4)], [Score(False, math.nan, error="the grader failed")], 4.0)
    base = search_quality.base_verdict(ledger.outcome([]))
    assert base is None
    rows = [row([1, 0, base], [5, 8, 3])]
    assert quality_tables.saved(rows, 2).tolist() == [5]
    assert quality_tables.fixed(rows, 2).tolist() == [1]


def test_rows_without_reads_have_no_table_of_them() -> None:
    assert quality_tables.charged({"edits": [row([1], [5])]}) == []
    known = row([1], [5]) | {"head_cost": 2.0, "with_reads": {"shortest": [[8]], "first_fix": [None]}}
    assert any(line.startswith("| edits | 1 | 9 | 2.0") for line in quality_tables.charged({"edits": [known]}))


def test_a_seed_with_two_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"model": "m", "task": "t", "search": "edits", "seed": 0, "first": 0, "items": 1, "chains": 20}
    rows = [cell | {"in_flight": 16}, cell | {"in_flight": 100}]
    (tmp_path / "search_quality_m.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    monkeypatch.setattr(sys, "argv", ["quality_tables.py", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match="seed 0 of edits on t, m, has two rows"):
        quality_tables.main()


def test_layers_saved_are_those_of_the_model_less_those_of_the_chain() -> None:
    assert np.array_equal(quality_tables.saved([row([1, 1], [0, 12])], 2), [0, 0])


def test_items_that_all_agree_have_no_interval() -> None:
    assert quality_tables.interval([1.0] * 33, "{:.2f}") == "1.00 (all agree, n=33)"
    assert quality_tables.interval([1.0, 0.0] * 9, "{:.2f}") == "0.50 (0.28–0.72, n=18)"


def test_two_searches_fixes_are_compared_item_by_item() -> None:
    mine, other = row([0, 0, 0, 1], [4, 5, 0, 9]), row([0, 0, 0, 1], [0, 5, 3, 9])
    assert quality_tables.more_fixed([mine], [other], 2).endswith("n=3), 1 won, 1 lost")
    assert quality_tables.more_fixed([mine], [row([0] * 3 + [1], [0] * 4)], 2).startswith("+0.67 (")


def test_what_is_learnt_of_other_samples_is_where_a_search_begins() -> None:
    settings = search_quality.settings_of("edits", 100.0)
    outcomes = [found(("0-3", False, 4.0), ("0-2", True, 4.0)), found(("0-3", True, 4.0), ("0", True, 4.0))] * 2
    samples: Any = [SimpleNamespace(id=name) for name in "abcd"]
    begin = search_quality.taught(samples, outcomes, settings, 4)
    assert (begin.lessons.wrong, begin.lessons.right) == ([Chain([0, 1, 2])], [Chain([0])])
    assert begin.table[3, SKIP] > search_quality.untaught(settings, 4).table[3, SKIP]
