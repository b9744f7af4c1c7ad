"""What a chain's edits are, and the chain without one of them."""

import pytest

from cola_search.chain import Chain
from cola_search.edits_of import undone_chains


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
