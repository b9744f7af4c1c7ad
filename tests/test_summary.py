"""The summary as a function of records: what is counted where, and what is said in words."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from record_fixture import NUM_LAYERS, decoy, record

from cola_search.records import BaseVerdict, Control, Counts, Record
from cola_search.report.stats import bonett_price, newcombe, wilson
from cola_search.report.summary import TaskFacts, summarize, write_summary


def four() -> list[Record]:
    """Right and shortened by 4, right and kept, wrong and fixed with one layer more, wrong and left."""
    return [
        record("short", best=8),
        record("kept", best=12),
        record("fixed", right=False, best=13),
        record("left", right=False, best=None),
    ]


def counts(rate: object) -> tuple[int, int]:
    return rate.count, rate.of  # type: ignore[attr-defined]


def test_the_number_of_layers_is_that_of_the_first_scored_record() -> None:
    lost = record("lost", num_layers=0, base=None, error="given up")
    assert summarize([lost, *four()]).num_layers == NUM_LAYERS
    assert summarize([lost]).num_layers == 0


def test_rates_are_of_the_samples_that_they_can_apply_to() -> None:
    summary = summarize(four())
    assert counts(summary.base_accuracy) == (2, 4)
    assert counts(summary.found_accuracy_oracle) == (3, 4)
    assert counts(summary.fixed) == (1, 2)
    assert counts(summary.shortened) == (1, 2)


def test_layers_saved_are_counted_where_the_base_is_right_and_apart_where_it_is_fixed() -> None:
    summary = summarize(four())
    assert summary.layers_saved_histogram == {0: 1, 4: 1}
    assert summary.layers_saved.mean == 2.0
    assert (
        summary.layers_saved.low is not None and 0 <= summary.layers_saved.low < 0.1
    )  # none is longer there: t says -23
    assert summary.layers_saved_when_fixed.mean == -1.0


def test_the_cost_of_the_first_fix_is_of_the_fixed_ones() -> None:
    summary = summarize(four())
    assert (summary.evaluations_to_first_fix.of, summary.evaluations_to_first_fix.mean) == (1, 4.0)
    assert summary.layer_executions_to_first_fix.mean == 33.0


def test_a_failed_sample_enters_no_rate_and_is_said() -> None:
    summary = summarize([*four(), record("bad", error="NaN"), record("lost", base=None, error="x")])
    assert (summary.samples, summary.errors, summary.base_accuracy.of) == (6, 2, 4)
    assert any(warning.startswith("2 of 6 samples failed") for warning in summary.warnings)


def test_headline_rates_count_the_verified_verdict_of_the_base() -> None:
    flipped = record("flip", best=10, base=BaseVerdict(correct=True, prediction=2, margin=0.01, verified=False))
    assert counts(summarize([flipped]).fixed) == (1, 1)


def test_verdicts_that_nobody_verified_are_said() -> None:
    unverified = record(base=BaseVerdict(correct=True, prediction=2, margin=0.1, verified=None))
    assert any(
        "1 of 1 samples counts with verdicts that were not verified" in w for w in summarize([unverified]).warnings
    )
    assert not any("not verified" in warning for warning in summarize(four()).warnings)


def test_the_order_of_the_records_changes_nothing() -> None:
    assert summarize(four()) == summarize(reversed(four()))


def test_one_right_answer_of_five_is_not_above_an_answer_that_is_right_once_in_fifty() -> None:
    """Wilson's lower limit is 4%, but one such item comes up in 10% of draws of five."""
    records = [record("right", best=12), *(record(f"w{i}", right=False, best=None) for i in range(4))]
    said = summarize(records, TaskFacts(majority=0.02)).warnings
    assert any("20% (1/5), is not shown to be above always giving the most frequent answer (2%" in w for w in said)
    assert not any("not shown to be above" in w for w in summarize(records, TaskFacts(majority=0.004)).warnings)


def test_no_records_give_a_summary_of_nothing() -> None:
    summary = summarize([])
    assert (summary.samples, summary.base_accuracy.rate, summary.evaluations_per_second) == (0, None, None)


def test_speed_is_that_of_the_driver_where_it_measured_one() -> None:
    assert summarize(four()).evaluations_per_second == 16.0
    assert summarize(four(), evaluations_per_second=99.0).evaluations_per_second == 99.0


def test_verification_agreement_counts_chains() -> None:
    checked = [replace(r, verification=replace(r.verification, checked=3, agreed=2, near_ties=1)) for r in four()]
    summary = summarize(checked)
    assert (counts(summary.verification_agreement), summary.near_ties) == ((8, 12), 4)


def test_decoys_stand_beside_the_fixes_where_the_base_is_wrong() -> None:
    records = [
        record("r", controls=decoy(True, 9)),
        record("w1", right=False, best=12, controls=decoy(False)),
        record("w2", right=False, best=None, controls=decoy(True, 7)),
    ]
    control = summarize(records).controls["decoy"]
    assert (counts(control.reached), counts(control.base_wrong_reached)) == ((2, 3), (1, 2))
    assert control.length.mean == 8.0
    assert control.fixed_minus_reached is not None and control.fixed_minus_reached.difference == 0.0


def fixes_and_decoys(fixed: int, reached: int, of: int = 40) -> list[Record]:
    return [
        record(f"s{i}", right=False, best=12 if i < fixed else None, controls=decoy(i < reached, 9)) for i in range(of)
    ]


def test_fixes_that_do_not_stand_above_their_decoys_are_said_to_be_luck() -> None:
    (warning,) = [w for w in summarize(fixes_and_decoys(38, 36)).warnings if "stand above" in w]
    assert "95% (38/40) against 90% (36/40)" in warning and "Luck can explain" in warning


def test_fixes_and_controls_of_the_same_samples_are_compared_pair_by_pair() -> None:
    """Ten of forty fixed and never the decoy too: paired the difference is clear of 0, as independent rates it is not."""
    paired = fixes_and_decoys(16, 7)
    difference = summarize(paired).controls["decoy"].fixed_minus_reached
    assert difference == bonett_price(9, 0, 40)
    apart = newcombe(wilson(16, 40), wilson(7, 40))
    assert difference is not None and apart is not None and difference.low > 0.05 and apart.low < difference.low
    opposed = [record(f"s{i}", right=False, best=12 if i < 20 else None, controls=decoy(i >= 20, 9)) for i in range(40)]
    assert summarize(opposed).controls["decoy"].fixed_minus_reached == bonett_price(20, 20, 40)


def test_a_difference_over_fewer_samples_than_the_fixes_says_so() -> None:
    without = [record(f"w{i}", right=False, best=12) for i in range(10)]
    (warning,) = [w for w in summarize(fixes_and_decoys(38, 36) + without).warnings if "stand above" in w]
    assert (
        "96% (48/50) against 90% (36/40)" in warning
        and "+5 points" in warning
        and "on the 40 that have both" in warning
    )


def test_no_fix_is_no_luck_to_explain() -> None:
    assert not any("Luck" in warning for warning in summarize(fixes_and_decoys(0, 3)).warnings)


def test_the_mean_length_of_decoys_ends_at_the_longest_chain_that_is_allowed() -> None:
    records = [record(str(i), right=False, best=None, controls=decoy(True, length)) for i, length in enumerate((1, 12))]
    high = summarize(records, max_length=1.3).controls["decoy"].length.high
    assert high is not None and NUM_LAYERS < high <= int(1.3 * NUM_LAYERS)
    unknown = summarize(records).controls["decoy"].length.high
    assert unknown is not None and unknown > 2 * NUM_LAYERS


def test_one_of_anything_is_said_in_the_singular() -> None:
    failed = record("x", error="boom")
    (warning,) = [w for w in summarize([failed, record("b")]).warnings if "failed" in w]
    assert warning == "1 of 2 samples failed and enters no rate; its record says why."


def test_fixes_on_items_that_leave_no_decoy_are_said_to_stand_beside_nothing() -> None:
    wrong = [record(f"w{i}", right=False, best=12) for i in range(40)]  # of two options, none is left for a decoy
    right = [record(f"r{i}", right=True, best=12, controls=decoy(True, 9)) for i in range(60)]
    (warning,) = [w for w in summarize(wrong + right).warnings if "decoy" in w]
    assert "nothing tells the fixes, 100% (40/40" in warning and "100% (60/60" in warning


def test_fixes_far_above_their_decoys_are_not() -> None:
    assert not any("stand above" in warning for warning in summarize(fixes_and_decoys(38, 10)).warnings)


def test_controls_that_gave_up_early_are_said() -> None:
    """Beside a search of 8 evaluations and 64 layer executions: three are few, four are not, and what is reached may be so."""
    few, enough = (
        {"random": Control(reached=False, length=None, evaluations=n, layer_executions=20.0)} for n in (3, 4)
    )
    reached = {"random": Control(reached=True, length=9, evaluations=3, layer_executions=20.0)}
    records = [record(str(i), right=False, controls=control) for i, control in enumerate((few, enough, reached))]
    (warning,) = [w for w in summarize(records).warnings if "gave up" in w]
    assert warning.startswith("1 of 3 controls (random)")
    assert not any("gave up" in warning for warning in summarize(records[1:]).warnings)


def test_samples_on_which_the_stop_rule_left_nothing_to_search_are_said() -> None:
    """search.stop=first_fix ends at the base where that is right: that no shorter chain was found says nothing."""
    ended = replace(record("ended", best=12), counts=Counts(simulations=1, evaluations=1, layer_executions=12.0))
    (warning,) = [w for w in summarize([ended, *four()]).warnings if "no chain but the whole model" in w]
    assert "on 1 of 5 items" in warning
    assert not any("no chain but the whole model" in w for w in summarize(four()).warnings)


def test_fixes_without_decoys_are_said_to_stand_beside_nothing() -> None:
    assert any("No decoys were run" in warning for warning in summarize(four()).warnings)
    assert not any("No decoys" in warning for warning in summarize(fixes_and_decoys(3, 1)).warnings)


def test_a_base_that_is_not_above_chance_or_majority_is_said() -> None:
    weak = [record(f"s{i}", right=i < 8, best=12) for i in range(20)]
    said = summarize(weak, TaskFacts(chance=0.25, majority=0.1)).warnings
    assert any(
        "40% (8/20), is not shown to be above guessing (25%; as many right by that: p 0.10)" in warning
        for warning in said
    )
    assert not any("most frequent answer" in warning for warning in said)
    strong = [record(f"s{i}", right=i < 18, best=12) for i in range(20)]
    assert not any("not shown" in w for w in summarize(strong, TaskFacts(chance=0.25, majority=0.3)).warnings)


def test_the_examples_are_the_shortest_chains_one_of_them_a_fix() -> None:
    records = [record(f"s{length}", best=length) for length in (9, 3, 12, 6)]
    records += [record(f"f{length}", right=False, best=length) for length in (11, 13)]
    examples = summarize(records).examples
    assert [example.sample for example in examples] == ["f11", "s3", "s6"]
    assert (examples[0].fixed, examples[0].base_answer, examples[0].gold) == (True, "south", "east")


def test_every_outcome_of_a_sample_has_a_word() -> None:
    words = [r.outcome for r in [*four(), record(error="x")]]
    assert words == ["shortened", "same", "fixed", "unsolved", "error"]


def test_summary_json_holds_counts_beside_every_rate(tmp_path: Path) -> None:
    summary = summarize(fixes_and_decoys(3, 1), TaskFacts(metric="acc", chance=0.25))
    write_summary(tmp_path / "summary.json", summary)
    data = json.loads((tmp_path / "summary.json").read_text())
    assert data["fixed"] == asdict(summary.fixed)
    assert data["fixed"].keys() == {"count", "of", "rate", "low", "high"}
    assert (data["num_layers"], data["facts"]["chance"]) == (NUM_LAYERS, 0.25)
    assert not list(tmp_path.glob("*.part"))
