"""The numbers behind the figures."""

from dataclasses import replace

import pytest
from report_fixture import make_record, synthetic_records

from cola_search.records import Control, Record, VoidPrior
from cola_search.report.facts import facts_of
from cola_search.report.figures import anytime, cloud, depth, figures, forest, reach, usage, voids
from cola_search.report.summary import Summary, summarize

FULL = "0-5"


@pytest.fixture
def run() -> list[Record]:
    """Fixed by a repeat, shortened twice, unsolved, and failed; all but one decoy are reached, in 4 layers."""
    hit = {"decoy": Control(target=1, reached=True, length=4, evaluations=3, layer_executions=18.0)}
    miss = {"decoy": Control(target=1, reached=False, length=None, evaluations=3, layer_executions=18.0)}
    repeat = "0-1 (2)x2 3-5"
    return [
        make_record(
            "a", [(FULL, 0, -0.5, 6.0), ("0-3", 0, -1.0, 10.0), (repeat, 1, 0.5, 17.0)], best=repeat, controls=hit
        ),
        make_record(
            "b", [(FULL, 1, 0.5, 6.0), ("0-3", 1, 0.2, 10.0), ("0 5", 1, 0.1, 12.0)], best="0 5", controls=miss
        ),
        make_record(
            "c", [(FULL, 1, 0.5, 6.0), ("0-4", 1, 0.2, 11.0), ("0-2", 0, -0.2, 14.0)], best="0-4", controls=hit
        ),
        make_record("d", [(FULL, 0, -0.5, 6.0), ("0-3", 0, -1.0, 10.0)], controls=hit),
        make_record("e", [(FULL, 1, 0.5, 6.0)], error="out of memory"),
    ]


@pytest.fixture
def summary(run: list[Record]) -> Summary:
    return summarize(run)


def judged(run: list[Record]) -> list:
    return [facts_of(record) for record in run if record.error is None]


def test_layer_usage_counts_skipped_once_and_repeated_layers_of_the_best_chains(run):
    fixed, shortened = usage(judged(run), "fixed"), usage(judged(run), "shortened")
    assert fixed == {"of": 1, "skipped": [0] * 6, "once": [1, 1, 0, 1, 1, 1], "repeated": [0, 0, 1, 0, 0, 0]}
    assert shortened["of"] == 2
    assert shortened["skipped"] == [0, 1, 1, 1, 1, 1]
    assert shortened["once"] == [2, 1, 1, 1, 1, 1]


def test_the_depth_histogram_keeps_fixed_shortened_and_decoys_apart(run):
    rows = {(row["group"], row["length"]): row["count"] for row in depth(judged(run))["rows"]}
    assert rows == {("fixed", 7): 1, ("shortened", 2): 1, ("shortened", 5): 1, ("decoy", 4): 3}
    assert sum(row["share"] for row in depth(judged(run))["rows"] if row["group"] == "shortened") == pytest.approx(1)


def test_voids_are_means_over_samples_beside_the_layers_of_their_best_chains(run):
    shares = {"a": [0.0] * 5 + [1.0], "b": [0.0] * 5 + [0.5]}
    traced = [
        replace(record, prior=VoidPrior(phase="pp", alpha=0.8, voids=shares[record.sample])) for record in run[:2]
    ]
    drawn = voids(judged([*traced, *run[2:]]))
    assert drawn is not None and (drawn["of"], drawn["alphas"]) == (2, [0.8])
    rows = {(row["row"], row["layer"]): row["share"] for row in drawn["rows"]}
    assert rows["PP", 0] == 1 and rows["PP", 5] == 0.25
    assert rows["best chains", 0] == 1 and rows["best chains", 1] == 0.5
    assert voids(judged(run)) is None


def test_the_cloud_holds_every_judged_chain_once(run):
    drawn = cloud(judged(run))
    assert sum(count for *_, count in drawn["cells"]) == drawn["chains"] == 11
    assert {length for length, *_ in drawn["cells"]} == {2, 3, 4, 5, 6, 7}
    assert sorted(length for length, _, _ in drawn["best"]) == [2, 5, 7]


def test_no_cell_of_the_cloud_mixes_margins_of_both_signs():
    for _, margin, correct, _ in cloud(judged(synthetic_records(20)))["cells"]:
        assert (margin > 0) == bool(correct)


def test_a_task_without_margins_is_drawn_by_verdict():
    drawn = cloud(judged(synthetic_records(8, generated=True)))
    assert not drawn["margins"]
    assert {height for _, height, _, _ in drawn["cells"]} == {"right", "wrong"}


def test_reach_counts_right_chains_of_at_most_so_many_layers(run, summary):
    drawn = reach(judged(run), summary)
    found = {layers: share for layers, share, _, _ in drawn["series"]["found"]}
    decoy = {layers: share for layers, share, _, _ in drawn["series"]["decoy"]}
    assert found[1] == 0 and found[2] == 0.25 and found[5] == 0.5 and found[7] == 0.75
    assert decoy[3] == 0 and decoy[4] == 0.75


def test_a_fix_counts_from_the_layer_executions_at_which_the_search_saw_it(run, summary):
    points = anytime(judged(run), summary)["fixed"]["points"]
    assert {share for cost, share, _, _ in points if cost < 17} == {0}
    assert points[-1][:2] == [17.0, 0.5]


def test_anytime_curves_end_at_the_rates_of_the_summary():
    run = synthetic_records(60)
    summary = summarize(run)
    drawn = anytime([fact for fact in map(facts_of, run) if fact.outcome != "error"], summary)
    assert drawn["fixed"]["points"][-1][1] == pytest.approx(summary.fixed.rate, abs=1e-4)
    assert drawn["shortened"]["points"][-1][1] == pytest.approx(summary.shortened.rate, abs=1e-4)
    assert drawn["saved"]["points"][-1][1] == pytest.approx(summary.layers_saved.mean, abs=1e-3)


def test_layers_saved_grow_only_when_the_search_sees_a_shorter_right_chain():
    seen = [(FULL, 1, 0.5, 6.0), ("0-3", 1, 0.2, 10.0), ("0-4", 1, 0.2, 15.0), ("0-1", 1, 0.2, 17.0)]
    assert facts_of(make_record("b", seen, best="0-1")).rights == [(6.0, 6), (10.0, 4), (17.0, 2)]


def test_a_chain_that_verification_refused_does_not_count_as_layers_saved(run, summary):
    refused = make_record("b", [(FULL, 1, 0.5, 6.0), ("0 5", 1, 0.1, 8.0), ("0-4", 1, 0.2, 13.0)], best="0-4")
    saved = anytime([facts_of(refused)], summary)["saved"]["points"]
    assert max(mean for _, mean, _, _ in saved) == 1


def test_each_rate_that_uses_gold_says_oracle_and_the_decoy_rate_follows_the_fixes(summary):
    labels = [row["label"] for row in forest(summary)]
    for label in labels:
        assert ("ORACLE" in label) == any(word in label for word in ("fixed", "shortened", "some chain"))
    assert labels[labels.index("fixed, of base-wrong (ORACLE)") + 1] == "decoy reached, of base-wrong"


def test_samples_that_failed_enter_no_figure(run, summary):
    assert figures([facts_of(record) for record in run], summary) == figures(judged(run), summary)


def test_a_run_in_which_every_sample_failed_has_no_figures():
    failed = [make_record("e", [(FULL, 1, 0.5, 6.0)], error="out of memory")]
    assert figures([facts_of(record) for record in failed], summarize(failed)) == {}


def test_a_base_that_verification_refutes_is_not_the_first_fix():
    record = make_record("a", [("0-5", 1, 0.01, 6.0), ("0-4", 1, 0.5, 11.0)], base=False, best="0-4")
    assert facts_of(record).rights == [(11.0, 5)]
