import numpy as np
import pytest

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.priors import KEEP, REPEAT, SKIP, check_table, from_skip_scores, learn_table, uniform


def test_the_uniform_table_edits_every_layer_with_the_hazard() -> None:
    table = uniform(3, hazard=0.1, skip_share=0.85)
    assert table == pytest.approx(np.tile([0.085, 0.9, 0.015], (3, 1)))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (np.full((3, 3), 1 / 3), r"shape \(3, 3\)"),
        (np.full((4, 3), 0.5), "sum to 1"),
        (np.tile([1.2, 0.5, -0.7], (4, 1)), "probabilities"),
        (np.full((4, 3), np.nan), "probabilities"),
        (np.tile([0.6, 0.0, 0.4], (4, 1)), "never kept"),
    ],
)
def test_a_bad_table_is_refused_with_its_reason(table: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        check_table(table, 4)


def test_layers_with_higher_skip_scores_are_skipped_more() -> None:
    skip = from_skip_scores(np.array([0.0, 0.2, 0.8]))[:, SKIP]
    assert 0 < skip[0] < skip[1] < skip[2]


def test_skip_scores_move_the_skips_and_do_not_add_to_them() -> None:
    table = from_skip_scores(np.array([0.0, 0.2, 0.8, 0.4]))
    assert check_table(table, 4)[:, SKIP].mean() == pytest.approx(uniform(4)[:, SKIP].mean())
    assert table[:, REPEAT] == pytest.approx(uniform(4)[:, REPEAT])


def test_scores_that_are_all_zero_give_the_uniform_table() -> None:
    assert from_skip_scores(np.zeros(4)) == pytest.approx(uniform(4))


def test_no_score_makes_a_layer_sure_to_be_skipped() -> None:
    scores = np.zeros(100)
    scores[7] = 1.0
    assert check_table(from_skip_scores(scores, hazard=0.3), 100)[7, SKIP] <= 0.9


@pytest.mark.parametrize("scores", [np.array([-0.1, 1.0]), np.array([np.nan, 1.0]), np.zeros((2, 2))])
def test_bad_skip_scores_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(UserError, match="skip scores"):
        from_skip_scores(scores)


def test_a_learnt_table_counts_what_earlier_chains_did_to_each_layer() -> None:
    table = learn_table([Chain.parse("0 (1)x2 3")] * 1000, num_layers=4, strength=1.0)
    assert table.argmax(axis=1).tolist() == [KEEP, REPEAT, SKIP, KEEP]
    assert check_table(table, 4).max(axis=1) == pytest.approx([1.0] * 4, abs=0.01)


def test_a_table_learnt_from_nothing_is_uniform() -> None:
    assert learn_table([], num_layers=4) == pytest.approx(uniform(4))
