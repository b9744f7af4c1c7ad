"""The controls that are no search, as figures and in words."""

from collections import Counter

import numpy as np
import pytest
from record_fixture import record

from cola_search.records import Probe, Record
from cola_search.report.stats import bonett_price, clustered, paired_difference, wilson
from cola_search.report.summary import TaskFacts, summarize


def counted(tries: int, right: float, base: int | None = None, reached: float | None = None) -> Probe:
    return Probe(tries=tries, right=right, base_right=base, reached=reached)


def fixes(count: int, **probes: Probe) -> list[Record]:
    return [record(f"s{i}", right=False, best=13, probes=probes) for i in range(count)]


def said(records: list[Record], words: str) -> list[str]:
    return [warning for warning in summarize(records).warnings if words in warning]


def test_pass_at_k_sums_probabilities_where_the_base_is_wrong_and_in_all() -> None:
    right = record("r", probes={"pass_at_k": counted(8, 8, reached=1.0)})
    found = summarize([*fixes(2, pass_at_k=counted(8, 2.5, reached=0.75)), right]).probes.pass_at_k
    assert found is not None
    assert (found.k, found.reached.count, found.reached.of) == (8, 2.5, 3)
    assert (found.base_wrong_reached.count, found.base_wrong_reached.of) == (1.5, 2)


def test_fixes_that_drawing_answers_gives_as_well_are_said() -> None:
    assert said(fixes(20, pass_at_k=counted(8, 4, reached=1.0)), "100% (20/20) against 100% (20/20)")
    assert not said(fixes(20, pass_at_k=counted(8, 0, reached=0.0)), "drawn from the untouched model")


def test_drawn_answers_stand_beside_the_fixes_of_the_same_items() -> None:
    """Where no drawn answer can be graded there is nothing to stand beside, and the fix does not count either."""
    ungraded = [
        record(
            f"u{i}",
            right=False,
            best=13,
            probes={"pass_at_k": Probe(tries=0, right=0, refused="no answer could be graded")},
        )
        for i in range(30)
    ]
    missed = [
        record(f"m{i}", right=False, best=None, probes={"pass_at_k": counted(8, 1, reached=0.0)}) for i in range(9)
    ]
    found = summarize([*ungraded, *missed]).probes.pass_at_k
    assert found is not None and found.fixed_minus_reached is not None
    assert found.fixed_minus_reached.difference == 0
    (warning,) = said([*ungraded, *missed], "drawn from the untouched model")
    assert warning.endswith("on the 9 that have both.")


def test_chains_that_beat_the_base_elsewhere_are_not_warned_of_and_others_are() -> None:
    assert not said(fixes(9, transfer=counted(8, 7, 1)), "not found on")
    (warning,) = said(fixes(9, transfer=counted(8, 1, 5)), "not found on")
    assert (
        "12% (9/72) against 62% (45/72)" in warning and "-50 points" in warning and "are worse than the base" in warning
    )
    (warning,) = said(fixes(9, transfer=counted(8, 4, 4)), "not found on")
    assert "are not shown to be better than the base" in warning


def test_items_that_cannot_be_reordered_are_said_and_count_nowhere() -> None:
    records = fixes(3, shuffle=Probe(tries=0, right=0, refused="its prompt does not list the options"))
    shuffle = summarize(records).probes.shuffle
    assert shuffle is not None and (shuffle.samples, shuffle.refused, shuffle.right.of) == (0, 3, 0)
    assert said(records, "not applicable")


def test_one_fix_that_cannot_be_reordered_is_one() -> None:
    (warning,) = said(fixes(1, shuffle=Probe(tries=0, right=0, refused="no options")), "Option order")
    assert "the one fixed sample could not have" in warning


def test_chains_tried_on_few_items_over_and_over_count_as_those_few() -> None:
    """400 chains on 8 each of 50 items: the base's share is that of 50 items, whose interval is +-14 points, not +-2."""
    moved = fixes(400, transfer=counted(8, 3, 4))
    few = summarize(moved, TaskFacts(transfer_items=50)).probes.transfer
    many = summarize(moved, TaskFacts(transfer_items=5000)).probes.transfer
    assert few is not None and few.base_right is not None and few.right_minus_base is not None
    assert many is not None and many.base_right is not None and many.right_minus_base is not None
    assert few.base_right.high == pytest.approx(wilson(25, 50).high, abs=0.01)
    assert many.base_right.high < 0.52
    assert few.right_minus_base.high > 0 > many.right_minus_base.high


def test_fixes_that_another_order_undoes_are_said() -> None:
    assert said(fixes(9, shuffle=counted(4, 1, 1)), "another order of the options")
    assert not said(fixes(9, shuffle=counted(4, 4, 0)), "another order of the options")


def test_undone_edits_are_counted_apart_for_fixes_and_for_shortened_chains() -> None:
    records = [*fixes(9, undo_one_edit=counted(2, 0)), record("r", best=9, probes={"undo_one_edit": counted(2, 2)})]
    probes = summarize(records).probes
    assert probes.undo_fixed is not None and (probes.undo_fixed.right.count, probes.undo_fixed.right.of) == (0, 18)
    assert probes.undo_shortened is not None and probes.undo_shortened.right.rate == 1.0
    assert said(records, "0% (0/18) of the chains stay right")


def test_a_run_without_them_says_nothing_of_them() -> None:
    probes = summarize([record()]).probes
    assert probes.pass_at_k is probes.shuffle is probes.transfer is probes.undo_fixed is None


def test_members_that_go_together_count_as_one() -> None:
    together = clustered({(8, 8): 5, (0, 8): 5})
    apart = clustered({(4, 8): 10})
    whole = clustered({(8, 8): 10})
    one = wilson(5, 10)
    assert (together.count, together.of) == (40, 80)
    assert abs(together.low - one.low) < 0.02 and together.low < apart.low
    assert whole.low == wilson(10, 10).low and clustered({}).rate is None


def test_few_clusters_of_equal_rates_are_not_taken_for_independent_members() -> None:
    few, apart = clustered({(2, 4): 2}), wilson(4, 8)
    assert few.low < apart.low and few.high > apart.high
    assert few.low == pytest.approx(wilson(1, 2).low)  # at worst a cluster counts as one


def test_clusters_of_one_member_are_that_many_members() -> None:
    many = clustered({(1, 1): 300, (0, 1): 100})
    assert (many.low, many.high) == (
        pytest.approx(wilson(300, 400).low, abs=1e-3),
        pytest.approx(wilson(300, 400).high, abs=1e-3),
    )


def test_a_difference_of_pairs_keeps_them_together() -> None:
    found = paired_difference({(8, 2, 4): 5, (8, 4, 6): 5})
    alone = paired_difference({(8, 2, 6): 5, (8, 4, 4): 5})
    assert found is not None and alone is not None and found.difference == alone.difference == -0.25
    half = 2.262 * 0.25 * (10 / 9) ** 0.5 / 10**0.5  # t of 9 degrees, the clusters' differences being -0.5 and 0
    assert (alone.low, alone.high) == (pytest.approx(-0.25 - half, abs=1e-3), pytest.approx(-0.25 + half, abs=1e-3))
    assert paired_difference({(8, 2, 4): 1}) is None


def test_few_pairs_that_agree_have_the_interval_of_bonett_and_price() -> None:
    two, all_won = paired_difference({(4, 2, 1): 2}), paired_difference({(4, 4, 0): 9})
    assert two is not None and two.difference == 0.25 and two.low < 0 < two.high
    by_hand = bonett_price(9, 0, 9)
    assert all_won is not None and all_won.low == pytest.approx(by_hand.low) and all_won.high == 1.0


def test_two_samples_that_agree_do_not_silence_the_warning() -> None:
    assert said(fixes(2, transfer=counted(4, 2, 1)), "not found on")


def test_the_interval_of_few_pairs_holds_the_true_difference_as_often_as_it_says() -> None:
    """Null simulation: both rates are the same, 4 tries a sample; a percentile bootstrap held it in 72% to 89%."""
    rng = np.random.default_rng(0)
    for m in (2, 3, 4, 8):
        draws = rng.binomial(4, 0.5, size=(300, m, 2))
        found = [paired_difference(Counter((4, int(a), int(b)) for a, b in clusters)) for clusters in draws]
        assert sum(one is not None and one.low <= 0 <= one.high for one in found) >= 0.92 * 300
