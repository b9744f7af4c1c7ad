"""What a finished sample becomes as a record, where search and stock transformers disagree."""

import json
from types import SimpleNamespace

from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.outcome import Ledger, Score
from cola_search.record_of import error_record, make_record
from cola_search.records import Cost, Record
from cola_search.report.formats import judged_chains
from cola_search.report.summary import Summary, summarize

BASE, LONGER, SHORT, SHORTER = Chain.identity(4), Chain([0, 1, 2, 3, 3]), Chain([0, 1, 2]), Chain([0, 1])
RIGHT, WRONG = Score(True, 0.01, 0), Score(False, -0.01, 1)


def recorded(scores: dict[Chain, Score], verified: dict[Chain, Score]) -> tuple[Record, Summary]:
    """The record of a search that scored these chains, one a wave of 5 layer executions, read back, and its summary."""
    ledger = Ledger(4)
    for chain, score in scores.items():
        ledger.record([chain], [score], 5.0)
    sample = SimpleNamespace(id="a", question="q", choices=["x", "y"], gold=0)
    finding = SimpleNamespace(
        sample=sample, outcome=ledger.outcome([]), verified=verified, controls={}, probes={}, prior=None, seconds=0.0
    )
    settings = compose_settings(["tracking=none", "run_dir=x"])
    record = Record.from_dict(json.loads(json.dumps(make_record(settings, finding, 4))))
    return record, summarize([record])


def test_every_verified_verdict_is_kept_and_a_refuted_chain_is_exported_as_wrong() -> None:
    scores = {BASE: WRONG, SHORTER: RIGHT, SHORT: RIGHT, LONGER: RIGHT}
    record, _ = recorded(scores, {BASE: WRONG, SHORTER: WRONG, SHORT: WRONG, LONGER: RIGHT})
    assert record.verified == {"0-3": False, "0-1": False, "0-2": False, "0-2 (3)x2": True}
    assert judged_chains(record) == {BASE: False, SHORTER: False, SHORT: False, LONGER: True}


def test_a_verification_that_failed_is_no_verdict() -> None:
    record, _ = recorded({BASE: RIGHT, SHORT: RIGHT}, {BASE: RIGHT, SHORT: Score(False, 0.0, error="out of memory")})
    assert record.verified == {"0-3": True}


def test_a_base_that_only_the_search_calls_wrong_is_the_best_chain() -> None:
    record, summary = recorded({BASE: WRONG, SHORT: WRONG}, {BASE: RIGHT, SHORT: WRONG})
    assert record.best is not None and (record.best.chain, record.best.verified) == ("0-3", True)
    assert record.best.prediction == 0 and record.outcome == "same"
    assert summary.found_accuracy_oracle.count == summary.base_accuracy.count == 1
    assert summary.layers_saved_histogram == {0: 1}


def test_a_longer_chain_is_not_best_where_the_base_is_verified_right() -> None:
    record, summary = recorded({BASE: WRONG, LONGER: RIGHT}, {BASE: RIGHT, LONGER: RIGHT})
    assert record.best is not None and record.best.chain == "0-3"
    assert record.counts.first_fix is None and summary.layers_saved_histogram == {0: 1}


def test_a_shorter_chain_is_best_where_the_base_is_verified_right() -> None:
    record, _ = recorded({BASE: WRONG, SHORT: RIGHT}, {BASE: RIGHT, SHORT: RIGHT})
    assert record.best is not None and record.best.chain == "0-2"


def test_a_fix_of_a_base_that_only_verification_calls_wrong_has_its_cost() -> None:
    scores = {BASE: RIGHT, SHORTER: WRONG, SHORT: RIGHT}
    record, summary = recorded(scores, {BASE: WRONG, SHORT: RIGHT})
    assert record.counts.first_fix == Cost(evaluations=3, layer_executions=15.0)
    assert (summary.fixed.count, summary.evaluations_to_first_fix.of) == (1, 1)


def test_a_sample_that_never_came_back_has_a_record_that_says_why() -> None:
    lost = error_record(compose_settings(["tracking=none", "run_dir=x"]), "s1", "it took two replicas down")
    kept = Record.from_dict(json.loads(lost.to_line()))
    assert (kept.sample, kept.error, kept.base, kept.best) == ("s1", "it took two replicas down", None, None)
