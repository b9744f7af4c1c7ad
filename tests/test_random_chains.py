"""Random chains: what their distribution is, and that no cap makes fewer of them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from search_fakes import always_wrong, find
from test_tree_search import thirds

from cola_search import priors
from cola_search.chain import Chain
from cola_search.random_chains import LayerDraws
from cola_search.search_settings import SearchSettings


def test_random_chains_prefer_no_part_of_the_model() -> None:
    found = [find(always_wrong, num_layers=30, seed=s, algorithm="random", simulations=1000) for s in range(4)]
    assert np.mean([thirds(outcome, 30) for outcome in found], axis=0) == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("space", ["partial", "edits"])
def test_random_chains_follow_the_prior(space: str) -> None:
    table = priors.uniform(12)
    table[3] = [0.0, 1.0, 0.0]
    table[7] = [0.9, 0.1, 0.0]
    outcome = find(always_wrong, table=table, algorithm="random", space=space, max_block=1, simulations=300)
    skipped = Counter(layer for chain, _, _ in outcome.chains for layer in chain.skipped(12))
    assert skipped[3] == 0
    assert skipped.most_common(1)[0][0] == 7


def test_random_chains_end_when_the_space_is_used_up() -> None:
    outcome = find(always_wrong, num_layers=2, algorithm="random", max_block=1, max_length=1.0, simulations=10_000)
    assert {tuple(chain) for chain, _, _ in outcome.chains} <= {(0, 1), (0,), (1,), (0, 0), (1, 1)}


def test_random_chains_respect_the_limit_of_edits() -> None:
    outcome = find(always_wrong, algorithm="random", max_edits=1, max_block=1, simulations=20)
    assert all(abs(len(chain) - 12) <= 1 for chain, _, _ in outcome.chains)


@pytest.mark.parametrize(
    ("num_layers", "settings"),
    [
        (80, {"max_edits": 1}),
        (30, {"max_edits": 1, "hazard": 0.3}),
        (36, {"max_length": 1.1, "hazard": 0.3, "skip_share": 0.0}),
    ],
)
def test_tight_caps_leave_as_many_random_chains_as_the_tree_finds(num_layers: int, settings: dict[str, object]) -> None:
    asked = [
        find(always_wrong, num_layers=num_layers, algorithm=name, simulations=60, **settings).evaluations
        for name in ("random", "mcts")
    ]
    assert asked == [60, 60]


def test_caps_that_the_prior_seldom_keeps_leave_as_many_random_chains() -> None:
    table = priors.learn_table([Chain([0, 1, layer]) for layer in range(2, 30)] * 4, 30)
    outcome = find(always_wrong, num_layers=30, table=table, algorithm="random", min_length=15, simulations=100)
    assert outcome.evaluations == 100
    assert min(len(chain) for chain, _, _ in outcome.chains) >= 15


def test_chains_inside_the_caps_are_drawn_as_often_as_if_the_others_were_thrown_away() -> None:
    """Against the plain draw, layer by layer, with rejection."""
    table = np.array([[0.3, 0.6, 0.1], [0.1, 0.7, 0.2], [0.2, 0.8, 0.0], [0.25, 0.5, 0.25]])
    settings = SearchSettings(max_block=1, min_length=3, max_length=1.25, max_edits=2)
    rng = np.random.default_rng(0)
    draws = LayerDraws(table, settings, rng)
    mine = Counter(draws.draw() for _ in range(20_000))
    decided = np.array([np.searchsorted(row.cumsum(), rng.random(100_000), side="right") for row in table]).T
    edits, lengths = (decided != priors.KEEP).sum(axis=1), decided.sum(axis=1)
    kept = decided[(edits > 0) & (edits <= 2) & (lengths >= 3) & (lengths <= 5)]
    plain = Counter(Chain(np.repeat(np.arange(4), row)) for row in kept)
    assert set(mine) == set(plain)
    for chain, count in plain.items():
        assert mine[chain] / 20_000 == pytest.approx(count / len(kept), abs=0.015)


@pytest.mark.parametrize("caps", [{"max_length": 1.0}, {"min_length": 3}, {"max_length": 1.5, "max_edits": 2}])
def test_random_chains_are_those_that_the_tree_can_reach(caps: dict[str, Any]) -> None:
    """No repeat is paid for by a later skip, nor a skip by a later repeat, where the tree's chains may not pass the caps."""
    words = {
        "num_layers": 4,
        "space": "partial",
        "max_block": 2,
        "hazard": 0.4,
        "skip_share": 0.5,
        "simulations": 2000,
        **caps,
    }
    drawn, reached = (
        {chain for chain, _, _ in find(always_wrong, algorithm=name, **words).chains} for name in ("random", "mcts")
    )
    assert drawn == reached


@pytest.mark.parametrize("max_edits", [None, 1])
def test_the_first_layers_have_no_better_chance_to_use_up_the_edits(max_edits: int | None) -> None:
    outcome = find(
        always_wrong, num_layers=30, algorithm="random", max_edits=max_edits, max_block=1, hazard=0.5, simulations=50
    )
    assert thirds(outcome, 30) == pytest.approx([1 / 3] * 3, abs=0.15)


def test_random_chains_are_the_prior_s_alone_whatever_the_search_prefers() -> None:
    """The random control of the default search, which prefers late layers by their cost and by what edits taught."""
    prefers = {"cost_exponent": 1.0, "history": 1.0, "temperature": 0.3}
    for space in ("edits", "partial"):
        words = {"num_layers": 30, "algorithm": "random", "space": space, "simulations": 300}
        alone, other = (find(always_wrong, **words, **settings) for settings in ({}, prefers))
        assert alone == other
        assert thirds(alone, 30) == pytest.approx([1 / 3] * 3, abs=0.06)
