import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cola_search import priors
from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.moves import ChainWeights, Edit, State, edit_kinds, edit_weights
from cola_search.search_settings import SearchSettings
from cola_search.space import EditsSpace, PartialSpace, Space, make_space

SPACES = ("partial", "edits")
L = 10


def space(name: str, num_layers: int = L, table: np.ndarray | None = None, seed: int = 0, **values: object) -> Space:
    made = SearchSettings(space=name, **values)  # type: ignore[arg-type]
    prior = priors.uniform(num_layers, made.hazard, made.skip_share) if table is None else table
    return make_space(num_layers, prior, made, np.random.default_rng(seed))


def texts(room: Space, state: State) -> dict[str, float]:
    moves = room.moves(state)
    return {str(room.child(state, move).chain): prior for move, prior in zip(moves.ids, moves.prior, strict=True)}


def legal(chain: Chain, made: SearchSettings, num_layers: int) -> bool:
    inside = made.min_length <= len(chain) <= made.longest(num_layers)
    return inside and type(chain) is Chain and set(chain) <= set(range(num_layers))


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_walk_of_moves_stays_legal_inside_the_caps(name: str, data: st.DataObject) -> None:
    num_layers = data.draw(st.integers(1, 12))
    made = SearchSettings(
        space=name,
        max_block=data.draw(st.integers(1, 4)),
        max_extra_runs=data.draw(st.integers(1, 4)),
        max_length=data.draw(st.sampled_from([1.0, 1.3, 2.0])),
        min_length=data.draw(st.integers(1, num_layers)),
        max_edits=data.draw(st.none() | st.integers(1, 3)),
        nested=data.draw(st.booleans()),
        temperature=data.draw(st.sampled_from([0.0, 0.3, 1.0])),
        cost_exponent=data.draw(st.sampled_from([0.0, 1.0])),
    )
    room = make_space(num_layers, priors.uniform(num_layers), made, np.random.default_rng(0))
    state = room.root()
    for _ in range(6):
        moves = room.moves(state)
        if not len(moves.ids):
            break
        assert sum(moves.prior) == pytest.approx(1)
        children = [room.child(state, move) for move in moves.ids]
        assert all(legal(child.chain, made, num_layers) and child.edits == state.edits + 1 for child in children)
        assert all(room.rank(child) > room.rank(state) for child in children)
        assert all(len(child.chain) >= room.floor(state) for child in children)
        state = data.draw(st.sampled_from(children))
    assert made.max_edits is None or state.edits <= made.max_edits


@pytest.mark.parametrize("name", SPACES)
def test_the_root_is_the_identity_chain(name: str) -> None:
    assert space(name).root().chain == Chain.identity(L)


def test_kinds_are_skips_and_repeats_of_all_sizes() -> None:
    kinds = edit_kinds(SearchSettings(max_block=2, max_extra_runs=2))
    assert kinds == (Edit(1, 0), Edit(2, 0), Edit(1, 2), Edit(1, 3), Edit(2, 2), Edit(2, 3))
    assert [kind.delta for kind in kinds] == [-1, -2, 1, 2, 2, 4]


def test_repeats_may_have_smaller_blocks_than_skips() -> None:
    kinds = edit_kinds(SearchSettings(max_block=2, max_repeat_block=1, max_extra_runs=1))
    assert kinds == (Edit(1, 0), Edit(2, 0), Edit(1, 2))


def test_the_root_of_cola_has_530_moves_at_28_layers() -> None:
    room = space("edits", num_layers=28, max_extra_runs=4, max_length=2.0)
    assert len(room.moves(room.root()).ids) == 530  # papers.md 1.1


def test_moves_come_with_the_highest_prior_first() -> None:
    moves = space("partial").moves(space("partial").root())
    assert (np.diff(moves.prior) <= 0).all()


def test_after_a_move_only_the_layers_behind_it_can_be_edited() -> None:
    room = space("partial", max_block=2)
    skipped = _walk(room, ["0-2 5-9"])
    assert all(chain.startswith("0-2") for chain in texts(room, skipped))
    assert "0-2 6-9" in texts(room, skipped)


def test_the_whole_chain_can_be_edited_in_the_edits_space_also_across_the_seam_of_a_repeat() -> None:
    room = space("edits", num_layers=4, max_block=2, max_length=2.0)
    looped = _walk(room, ["0 (1-2)x2 3"])
    chains = {room.child(looped, move).chain for move in room.moves(looped).ids}
    assert {(1, 2, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 1, 2, 1, 2, 3), (0, 1, 2, 1, 2, 3, 2, 3)} <= chains
    assert looped.chain.repeat(2, 2, 1) == (0, 1, 2, 1, 2, 1, 2, 3)  # the block 2 1 lies across the seam


def test_without_nesting_no_edit_touches_what_a_repeat_made() -> None:
    room = space("edits", num_layers=4, max_block=2, max_length=3.0, nested=False)
    looped = _walk(room, ["0 (1-2)x2 3"])
    chains = {room.child(looped, m).chain for m in room.moves(looped).ids}
    assert chains == {(1, 2, 1, 2, 3), (0, 0, 1, 2, 1, 2, 3), (0, 1, 2, 1, 2), (0, 1, 2, 1, 2, 3, 3)}


def test_without_nesting_no_edit_spans_what_a_skip_took_out() -> None:
    room = space("edits", num_layers=8, nested=False, max_block=3)
    moves = [divmod(int(move), len(room.kinds)) for move in room.moves(room.planted(Chain.parse("0-2 5-7"))).ids]
    assert {start for start, kind in moves if room.kinds[kind].size == 2} == {0, 1, 3, 4}
    assert {start for start, kind in moves if room.kinds[kind].size == 3} == {0, 3}


def test_the_prior_of_a_move_is_keeping_the_layers_before_times_editing_the_one_after() -> None:
    table = np.array([[0.1, 0.75, 0.15], [0.2, 0.75, 0.05], [0.25, 0.5, 0.25]])  # one expected edit: no scaling
    room = space("partial", num_layers=3, table=table, max_block=1, max_length=2.0)
    expected = {"1-2": 0.1, "(0)x2 1-2": 0.15, "0 2": 0.75 * 0.2, "0 (1)x2 2": 0.75 * 0.05}
    expected |= {"0-1": 0.75 * 0.75 * 0.25, "0-1 (2)x2": 0.75 * 0.75 * 0.25}
    total = sum(expected.values())
    assert texts(room, room.root()) == pytest.approx({text: value / total for text, value in expected.items()})


def test_the_hazard_is_scaled_to_one_expected_edit_so_late_layers_are_not_starved() -> None:
    priors_at = texts(space("partial", num_layers=80), space("partial", num_layers=80).root())
    assert priors_at["0-78"] / priors_at["1-79"] == pytest.approx(4 * 0.9 ** (79 / 8))  # the only skip that fits, of 4


def test_a_block_weighs_by_the_geometric_mean_of_its_layers() -> None:
    table = np.array([[0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.05, 0.95, 0.0]])
    weights = edit_weights(table, (Edit(1, 0), Edit(2, 0)))
    assert weights[0] == pytest.approx([0.1, 0.1])
    assert weights[1] == pytest.approx([0.2 * 2 / 3, 0.2 / 3])
    assert weights[2] == pytest.approx([0.05, 0.0])  # no block of two fits


def test_splitting_over_kinds_keeps_the_probability_of_an_edit() -> None:
    table = priors.from_skip_scores(np.linspace(0, 1, L))
    weights = edit_weights(table, edit_kinds(SearchSettings(max_extra_runs=4)))
    assert weights.sum(axis=1) == pytest.approx(1 - table[:, priors.KEEP])


def test_cheap_late_edits_gain_prior_when_cost_counts() -> None:
    plain, frugal = space("partial"), space("partial", cost_exponent=1.0)
    ratio = {key: texts(frugal, frugal.root())[key] / value for key, value in texts(plain, plain.root()).items()}
    assert ratio["0-8"] > ratio["0-4 6-9"] > ratio["1-9"]
    assert ratio["0 2-9"] / ratio["1-9"] == pytest.approx(10 / 9)  # 9 and 8 layers run after these skips, plus 1


def test_sampled_moves_are_ordered_by_draws_from_the_prior() -> None:
    first = [
        texts_in_order[0]
        for seed in range(400)
        if (
            texts_in_order := [
                str(c) for c in _children(space("partial", num_layers=2, seed=seed, temperature=1.0, hazard=0.5))
            ]
        )
    ]
    assert first.count("1") / 400 == pytest.approx(_share("1"), abs=0.08)
    assert first.count("0") / 400 == pytest.approx(_share("0"), abs=0.08)


def _children(room: Space) -> list[Chain]:
    return [room.child(room.root(), move).chain for move in room.moves(room.root()).ids]


def _share(text: str) -> float:
    room = space("partial", num_layers=2, hazard=0.5)
    return texts(room, room.root())[text]


@pytest.mark.parametrize("name", SPACES)
def test_equal_moves_come_in_an_order_that_the_seed_decides(name: str) -> None:
    rooms = [space(name, seed=seed) for seed in (0, 0, 1)]
    first, again, other = [room.moves(room.root()).ids.tolist() for room in rooms]
    assert first == again != other


def test_a_layer_with_no_chance_to_be_skipped_never_is() -> None:
    table = priors.uniform(4)
    table[2] = [0.0, 0.985, 0.015]
    room = space("partial", num_layers=4, table=table)
    assert all(2 in chain for chain in _children(room))
    assert room.floor(room.root()) == 1


def test_the_floor_counts_the_layers_that_no_edit_may_skip() -> None:
    table = priors.uniform(4, skip_share=0.0)
    assert floor("partial", num_layers=4, table=table) == 4
    assert floor("partial", num_layers=12, max_edits=2, max_block=3) == 6
    assert floor("partial", num_layers=12, min_length=8) == 8


@pytest.mark.parametrize("name", SPACES)
def test_after_the_last_allowed_edit_there_are_no_moves(name: str) -> None:
    room = space(name, max_edits=1)
    child = room.child(room.root(), room.moves(room.root()).ids[0])
    assert len(room.moves(child).ids) == 0


@pytest.mark.parametrize("name", SPACES)
def test_states_with_the_same_future_have_the_same_key(name: str) -> None:
    room = space(name, max_block=2)
    twice = _walk(room, ["1-9", "2-9"])
    once = _walk(room, ["2-9"])
    assert room.key(twice) == room.key(once)
    assert room.key(twice) != room.key(room.root())


def _walk(room: Space, chains: list[str]) -> State:
    state = room.root()
    for text in chains:
        state = next(c for m in room.moves(state).ids if str((c := room.child(state, m)).chain) == text)
    return state


def test_a_planted_chain_is_decided_up_to_its_plain_end() -> None:
    room = space("partial", max_block=1)
    assert set(texts(room, room.planted(Chain.parse("0 (1)x2 3-4 7-9")))) > {"0 (1)x2 3-4 8-9", "0 (1)x2 3-4 7-8"}
    assert all(chain.startswith("0 (1)x2 3-4 ") for chain in texts(room, room.planted(Chain.parse("0 (1)x2 3-4 7-9"))))
    assert texts(room, room.planted(Chain.parse("0-3"))) == {}


def test_a_planted_chain_can_be_edited_anywhere_in_the_edits_space() -> None:
    room = space("edits", max_block=1)
    assert {"1 3", "0 3", "0-1"} <= set(texts(room, room.planted(Chain.parse("0-1 3"))))


def test_caps_that_forbid_the_identity_chain_are_refused() -> None:
    with pytest.raises(UserError, match=r"search\.min_length=5"):
        space("partial", num_layers=4, min_length=5)


def test_the_settings_choose_the_space() -> None:
    assert isinstance(space("partial"), PartialSpace)
    assert isinstance(space("edits"), EditsSpace)


@pytest.mark.parametrize("name", SPACES)
def test_what_can_still_be_skipped_of_a_planted_chain_is_counted_anew(name: str) -> None:
    table = priors.uniform(6)
    table[[0, 3]] = [0.0, 0.9, 0.1]
    room = space(name, num_layers=6, table=table)
    assert room.floor(room.root()) == 2
    assert room.floor(room.planted(Chain([1, 2, 4]))) == (1 if name == "edits" else 3)  # its end is decided
    assert room.floor(room.planted(Chain([0, 0, 3, 5]))) == 3
    limited = space(name, num_layers=6, table=table, max_edits=2)
    assert limited.floor(limited.planted(Chain([1, 2, 4]))) == 3  # which has no edits left


def test_a_block_that_an_edit_brought_together_weighs_by_the_layers_that_it_holds() -> None:
    table = priors.from_skip_scores(np.array([0, 0, 1, 0, 0, 0, 0, 0, 1, 0.0]))
    room = space("edits", table=table, max_block=2)
    state = room.planted(Chain.parse("0-2 8-9"))  # 2 and 8 are void, 1 and 9 are not
    weight = dict(zip(room.moves(state).ids.tolist(), room.moves(state).prior.tolist(), strict=True))
    skips = [[weight[place * len(room.kinds) + size - 1] for size in (1, 2)] for place in range(4)]
    for place, (one, two) in enumerate(skips):
        first, second = table[list(state.chain[place : place + 2]), priors.SKIP]
        assert two / one == pytest.approx(np.sqrt(second / first)), place


def test_blocks_of_the_whole_chain_weigh_as_they_do_in_the_model() -> None:
    table = priors.from_skip_scores(np.random.default_rng(0).random(L))
    for kinds in (edit_kinds(SearchSettings()), edit_kinds(SearchSettings(max_block=3, max_repeat_block=5))):
        weights = ChainWeights(table, kinds).of(Chain.identity(L))
        assert weights == pytest.approx(edit_weights(table, kinds, bounded=False))


def test_no_block_of_an_edited_chain_holds_a_layer_that_the_prior_never_skips() -> None:
    table = priors.from_skip_scores(np.array([0, 1, 1, 0, 0.0]), floor=0.0)
    room = space("edits", num_layers=5, table=table)
    assert room.floor(room.root()) == 3
    state = room.planted(Chain([1, 3, 2, 4]))
    shorter = [chain for move in room.moves(state).ids if len(chain := room.child(state, move).chain) < 4]
    assert sorted(shorter) == [(1, 3, 4), (3, 2, 4)]


def floor(name: str, **settings: object) -> int:
    """The floor of the whole model."""
    room = space(name, **settings)
    return room.floor(room.root())
