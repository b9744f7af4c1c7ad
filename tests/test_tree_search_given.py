"""What a search is given besides its space: a menu, ready settings, a table."""

import numpy as np
import pytest
import yaml
from search_fakes import CONF, always_wrong, drive, find, needs, searcher

from cola_search import priors
from cola_search.chain import Chain
from cola_search.lessons import Lessons
from cola_search.outcome import Score
from cola_search.search_settings import SearchSettings
from cola_search.tree import Tree
from cola_search.tree_search import Search


def test_the_menu_is_asked_right_after_the_identity_chain() -> None:
    menu = [Chain([0, 1]), Chain([2, 3, 4])]
    search = searcher(menu=menu, wave_ramp=4.0)
    identity = search.ask()
    search.tell(identity, [always_wrong(chain) for chain in identity])
    assert search.ask()[:2] == menu
    assert search._tree.prior[Tree.ROOT, :2].tolist() == [0.5, 0.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("right", [True, False])
def test_the_menu_is_that_for_the_verdict_of_the_base(right: bool) -> None:
    lessons = Lessons(right=[Chain([0, 1])], wrong=[Chain([2, 3])])
    search = Search(12, SearchSettings(wave=1), priors.uniform(12), np.random.default_rng(0), lessons)
    search.tell(search.ask(), [Score(right, 0.0)])
    assert search.ask() == (lessons.right if right else lessons.wrong)


def test_menu_chains_outside_the_caps_or_the_model_are_left_out() -> None:
    menu = [Chain([0]), Chain([40]), Chain(range(12)), Chain([0, 1]), Chain([*range(12)] * 2), Chain([0, 1])]
    outcome = find(always_wrong, num_layers=12, menu=menu, simulations=6, min_length=2)
    asked = [chain for chain, _, _ in outcome.chains]
    assert asked[1] == (0, 1)
    assert not {(0,), (40,)} & set(asked)


@pytest.mark.parametrize("space", ["partial", "edits"])
def test_the_tree_grows_on_a_menu_chain_that_is_right(space: str) -> None:
    judge = needs(0, 5, 11, num_layers=12)
    outcome = find(judge, menu=[Chain([0, 1, 2, 5, 6, 7, 8, 9, 10, 11])], simulations=60, space=space)
    assert 1 in {row[0] for row in outcome.tree}
    assert len(outcome.candidates[0][0]) < 10


@pytest.mark.parametrize("name", ["cola", "drllm", "repolar", "partial", "edits"])
def test_every_published_setting_runs(name: str) -> None:
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    outcome = find(needs(0, 3, 4, num_layers=10), num_layers=10, **settings)
    assert outcome.first_shorter is not None
    assert all(len(chain) <= SearchSettings(**settings).longest(10) for chain, _, _ in outcome.chains)


def test_dr_llm_as_written_runs_no_layer_more_than_twice() -> None:
    settings = yaml.safe_load((CONF / "drllm.yaml").read_text())
    outcome = find(always_wrong, num_layers=10, **settings)
    assert max(max(chain.counts(10)) for chain, _, _ in outcome.chains) == 2
    assert all(list(chain) == sorted(chain) for chain, _, _ in outcome.chains)


def test_the_search_takes_its_table_as_a_prior() -> None:
    table = priors.uniform(12)
    table[3] = [0.9, 0.1, 0.0]
    search = Search(12, SearchSettings(simulations=10, max_block=1), table, np.random.default_rng(0))
    outcome = drive(search, always_wrong)
    assert outcome.chains[1][0] == (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11)


@pytest.mark.parametrize(("space", "max_edits", "count"), [("partial", 2, 86), ("edits", 3, 425)])
def test_with_limited_edits_every_legal_chain_is_asked_for_in_the_end(space: str, max_edits: int, count: int) -> None:
    wide = {"simulations": 10**6, "wave": 1, "temperature": 1.0, "c": 0.05, "stop": "none"}

    def any_order(chain: Chain) -> Score:
        return Score(False, sum((i + 1) * (layer + 3) ** 2 for i, layer in enumerate(chain)) * 7919 % 101 / 101)

    asked = [find(any_order, num_layers=5, seed=s, space=space, max_edits=max_edits, **wide) for s in range(4)]
    assert [outcome.evaluations for outcome in asked] == [count] * 4


def test_a_menu_of_chains_with_more_edits_than_allowed_is_tried_to_its_end() -> None:
    menu = [Chain(range(8)), Chain([0, 1, 11]), Chain([0])]
    outcome = find(lambda chain: Score(True, 1.0), num_layers=12, max_edits=1, menu=menu, simulations=50)
    assert outcome.candidates[0][0] == Chain([0])


@pytest.mark.parametrize(
    ("space", "menu", "least"), [("edits", Chain([5, 6, 7]), 1), ("partial", Chain([4, 3, 5, 6, 7]), 2)]
)
def test_a_menu_chain_opens_the_way_below_the_floor_of_the_whole_model(space: str, menu: Chain, least: int) -> None:
    """Layers 0 to 2 are never skipped, so that no edit of the whole model leaves less than 3; the menu's chain has none of them."""
    table = priors.uniform(8)
    table[:3] = [0.0, 0.9, 0.1]
    told = {"table": table, "menu": [menu], "space": space, "simulations": 300, "wave": 1, "max_block": 1}
    outcome = find(lambda chain: Score(True, 0.0), num_layers=8, **told)
    assert len(outcome.candidates[0][0]) == least
