"""What a search learns of its edits."""

import math

import numpy as np
import pytest
from search_fakes import Judge, find

from cola_search.chain import Chain
from cola_search.history import CLIP, History
from cola_search.moves import Edit, State, edited
from cola_search.outcome import Score

KINDS = (Edit(1, 0), Edit(2, 0), Edit(1, 2))  # skip one, skip two, repeat one
L = 6
BASE = Chain.identity(L)


def scored(margin: float, error: str | None = None) -> Score:
    return Score(correct=margin > 0, margin=margin, error=error)


def step(before: Chain, start: int, size: int, runs: int) -> State:
    return State(edited(before, start, size, runs), before=before, block=before[start : start + size])


def history(*edits: tuple[int, int, int, float], base: float = -1.0, power: float = 1.0) -> History:
    """A history with edits of the identity chain: (start, size, runs, margin)."""
    made = History(L, KINDS, power)
    made.learn(State(BASE), scored(base))
    for start, size, runs, margin in edits:
        made.learn(step(BASE, start, size, runs), scored(margin))
    return made


def weights(made: History, chain: Chain = BASE) -> np.ndarray:
    return made.weights(chain, chain)


def test_an_edit_that_harmed_weighs_less_from_then_on_and_one_that_helped_more() -> None:
    skips = weights(history((1, 1, 0, -6.0), (3, 1, 0, 2.0)))[:, 0]
    assert skips[1] < skips[0] < skips[3]
    assert skips[0] == pytest.approx(skips[5])


def test_what_was_learnt_on_one_chain_holds_for_another() -> None:
    made = history((1, 1, 0, -6.0))
    made.learn(step(BASE, 5, 1, 0), scored(-1.0))
    other = edited(BASE, 5, 1, 0)
    assert weights(made, other)[1, 0] < weights(made, other)[0, 0]


def test_skips_say_nothing_about_repeats() -> None:
    assert len(set(weights(history((1, 1, 0, -6.0)))[:, 2])) == 1


def test_the_change_of_a_block_is_shared_by_its_layers_and_adds_up() -> None:
    made = history((2, 2, 0, -7.0))  # three nats for each of layers 2 and 3
    assert made._changes(BASE)[2] == pytest.approx([-3.0, -6.0, 0.0])
    assert made._changes(BASE)[0] == pytest.approx([-3.0, -6.0, 0.0])  # the mean, where nothing is known


def test_a_block_at_the_end_of_the_chain_has_only_the_layers_that_are_there() -> None:
    assert weights(history((2, 2, 0, -7.0))).shape == (L, 3)


def test_from_a_right_chain_a_longer_skip_weighs_more_in_proportion() -> None:
    unharmed = weights(history((0, 1, 0, 4.0), base=4.0))
    assert unharmed[2, 1] == pytest.approx(2 * unharmed[2, 0])
    assert unharmed[2, 2] == pytest.approx(unharmed[2, 0])


def test_the_order_by_history_follows_the_margin_of_the_chain_that_is_edited() -> None:
    """The same harm matters less where the answer is safe."""
    edits = ((1, -4.0), (3, 0.0))
    safe, close = (
        weights(history(*((at, 1, 0, base + change) for at, change in edits), base=base)) for base in (9.0, 1.0)
    )
    assert safe[1, 0] / safe[3, 0] > close[1, 0] / close[3, 0]


@pytest.mark.parametrize("score", [scored(math.nan), scored(5.0, error="timeout")])
def test_an_error_or_no_margin_teaches_nothing(score: Score) -> None:
    made = history()
    age, before = made.age, weights(made)
    made.learn(step(BASE, 1, 1, 0), score)
    assert made.age == age
    assert (weights(made) == before).all()


def test_an_endless_margin_counts_as_the_largest() -> None:
    made = history((1, 1, 0, -math.inf), base=0.0)
    assert made._changes(BASE)[1, 0] == pytest.approx(-CLIP)
    assert np.isfinite(weights(made)).all()


def test_without_power_nothing_is_learnt() -> None:
    made = history((1, 1, 0, -6.0), power=0.0)
    assert made.age == 0
    assert (weights(made) == 1).all()


def test_where_changes_do_not_add_up_harm_counts_for_less() -> None:
    made = history((1, 1, 0, -6.0), (3, 1, 0, 0.0), base=0.0)
    before = weights(made)[:, 0]
    for place, margin in enumerate([9.0, -9.0] * 6):  # repeats, so that what is known of skips stays as it is
        made.learn(step(BASE, place % L, 1, 2), scored(margin))
    after = weights(made)[:, 0]
    assert before[1] / before[3] < 0.8 * after[1] / after[3]


def test_no_power_is_so_large_that_a_move_is_lost() -> None:
    assert (weights(history((1, 1, 0, -9.0), base=-5.0, power=1e6)) > 0).all()


LAYERS = 20


def harm(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(2.0, LAYERS)


def additive(seed: int) -> Judge:
    """A made-up model: each layer that is skipped harms the margin by its own amount, whatever else is skipped."""

    def judge(chain: Chain) -> Score:
        margin = 5.0 - sum(harm(seed)[layer] for layer in set(range(LAYERS)) - set(chain))
        return Score(correct=margin > 0, margin=margin)

    return judge


@pytest.mark.parametrize("settings", [{"space": "edits"}, {"space": "partial"}])
def test_a_search_that_remembers_what_edits_did_finds_shorter_chains(settings: dict[str, object]) -> None:
    def saved(power: float) -> int:
        found = [
            find(
                additive(seed),
                num_layers=LAYERS,
                seed=seed,
                simulations=100,
                temperature=0.3,
                history=power,
                **settings,
            )
            for seed in range(12)
        ]
        return sum(LAYERS - len(outcome.candidates[0][0]) for outcome in found)

    assert saved(1.0) > 1.05 * saved(0.0)


def test_what_earlier_samples_taught_of_a_layer_holds_until_this_one_says_otherwise() -> None:
    changes = np.zeros((2, L))
    changes[0, 3] = -4.0
    made = History(L, KINDS, 1.0, changes)
    made.learn(State(BASE), scored(1.0))
    before = weights(made)[:, 0]
    assert before[3] < before[0] and before[0] == pytest.approx(before[5])
    for _ in range(20):
        made.learn(step(BASE, 3, 1, 0), scored(2.0))
    assert made._each()[0, 3] > 0
    assert made._each()[0, 0] == pytest.approx(
        (4 + 1) / 1, abs=0.3
    )  # the mean of what is beyond the expected, here for all
