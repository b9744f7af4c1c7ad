import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cola_search.chain import Chain, undone_chains
from cola_search.errors import UserError

chains = st.lists(st.integers(0, 12), min_size=1, max_size=40).map(Chain)


@given(chains)
def test_parsing_the_text_of_a_chain_gives_the_chain_back(chain: Chain) -> None:
    assert Chain.parse(str(chain)) == chain


@given(chains)
def test_the_text_is_canonical(chain: Chain) -> None:
    assert str(Chain.parse(str(chain))) == str(chain)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (range(28), "0-27"),
        ([*range(12), 12, 13, 14, 12, 13, 14, *range(15, 28)], "0-11 (12-14)x2 15-27"),
        ([5], "5"),
        ([5, 5, 5], "(5)x3"),
        ([0, 1, 3], "0-1 3"),
        ([0, 1, 2, 3, 2, 4], "0-3 2 4"),
        ([2, 1, 0], "2 1 0"),
        ([0, 0, 1, 0, 1], "(0)x2 1 0-1"),
    ],
)
def test_the_text_form_has_inclusive_ranges_and_counts_all_runs(layers: list[int], text: str) -> None:
    assert str(Chain(layers)) == text


@pytest.mark.parametrize(
    "text", ["0-11 (12-14)x2 15-27", " 0 - 11   ( 12-14 ) x 2 15-27 ", "0-5 6-11 (12-14)x2 15-20 21-27"]
)
def test_spaces_and_split_ranges_parse_to_the_same_chain(text: str) -> None:
    assert str(Chain.parse(text)) == "0-11 (12-14)x2 15-27"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("0-", "not understood"),
        ("-1", "not understood"),
        ("0,1", "not understood"),
        ("0-3x2", "not understood"),
        ("(0-3)", "not understood"),
        ("a", "not understood"),
        ("0-3 5..6", "not understood at '5..6'"),
        ("3-1", "descending"),
        ("(0-1)x0", "at least once"),
        ("0-30", "layers 0 to 29"),
        ("(29-30)x2", "layers 0 to 29"),
    ],
)
def test_a_bad_text_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Chain.parse(text, num_layers=30)


@pytest.mark.parametrize("text", ["(0-9)x1000000000", "0-99999999999", "0-99999 (0)x100"])
def test_a_text_that_would_fill_the_memory_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="longer than"):
        Chain.parse(text)


def test_a_chain_equals_and_hashes_like_its_plain_tuple() -> None:
    assert {Chain([0, 2]): 1}[(0, 2)] == 1


def test_a_chain_survives_pickling_as_a_chain() -> None:
    restored = pickle.loads(pickle.dumps(Chain([0, 2, 2])))
    assert type(restored) is Chain
    assert restored == (0, 2, 2)


def test_numpy_integers_become_plain_ones() -> None:
    assert type(Chain(np.array([1, 2]))[0]) is int


@pytest.mark.parametrize("layers", [[], [0, -1]])
def test_empty_and_negative_chains_are_refused(layers: list[int]) -> None:
    with pytest.raises(UserError):
        Chain(layers)


def test_a_text_is_no_sequence_of_layers_and_says_what_reads_it() -> None:
    with pytest.raises(UserError, match=r"'0-11' is no sequence of layers: make a chain of it with Chain\.parse"):
        Chain("0-11")  # type: ignore[arg-type]


def test_fractions_are_no_layers() -> None:
    with pytest.raises(TypeError):
        Chain([0.5])  # type: ignore[list-item]


def test_skip_leaves_positions_out() -> None:
    assert Chain([0, 1, 1, 2]).skip(1, 2) == (0, 2)


def test_repeat_adds_runs_right_after_the_block() -> None:
    assert Chain.identity(5).repeat(1, 2, extra=2) == (0, 1, 2, 1, 2, 1, 2, 3, 4)


@given(chains, st.data())
def test_skipping_the_copies_undoes_a_repeat(chain: Chain, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(chain) - 1))
    size = data.draw(st.integers(1, len(chain) - start))
    extra = data.draw(st.integers(1, 4))
    repeated = chain.repeat(start, size, extra)
    assert len(repeated) == len(chain) + size * extra
    assert repeated.skip(start + size, size * extra) == chain


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, 0), (2, 3), (4, 1)])
def test_a_block_outside_the_chain_is_refused(start: int, size: int) -> None:
    with pytest.raises(UserError, match="not a block"):
        Chain.identity(4).skip(start, size)
    with pytest.raises(UserError, match="not a block"):
        Chain.identity(4).repeat(start, size, 1)


def test_a_repeat_without_extra_runs_is_refused() -> None:
    with pytest.raises(UserError, match="extra=0"):
        Chain.identity(4).repeat(0, 1, 0)


def test_skipping_everything_is_refused() -> None:
    with pytest.raises(UserError, match="at least one layer"):
        Chain.identity(4).skip(0, 4)


def test_counts_skipped_and_repeated_tell_how_often_layers_run() -> None:
    chain = Chain.parse("0 (2-3)x2 5")
    assert chain.counts(7) == (1, 0, 2, 2, 0, 1, 0)
    assert chain.skipped(7) == (1, 4, 6)
    assert chain.repeated() == (2, 3)


def test_counting_for_a_model_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match="layers 0 to 2"):
        Chain([3]).counts(3)


def test_the_identity_chain_runs_every_layer_once_in_order() -> None:
    assert Chain.identity(3) == (0, 1, 2)


def undone(text: str) -> list[str]:
    return [str(chain) for chain in undone_chains(Chain.parse(text), 8)]


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("0-7", []),
        ("0-2 5-7", []),  # one edit: without it, it is the whole model
        ("2-7", []),
        ("0-5", []),
        ("0-1 (2-3)x2 4-7", []),
        ("2-5", ["0-5", "2-7"]),
        ("0 3-4 7", ["0-4 7", "0 3-7"]),
        ("0-1 (2-3)x4 4-6", ["0-6", "0-1 (2-3)x4 4-7"]),
        ("0-1 (3)x2 6-7", ["0-2 (3)x2 6-7", "0-1 3 6-7", "0-1 (3)x2 4-7"]),
    ],
)
def test_each_skip_and_each_repeat_is_undone_alone(chain: str, expected: list[str]) -> None:
    assert undone(chain) == [str(Chain.parse(text)) for text in expected]


def test_the_same_gap_in_every_run_of_a_repeat_is_one_edit() -> None:
    assert undone("0-2 4 2 4-7") == ["0-1 (2-4)x2 5-7", "0-2 4-7"]
