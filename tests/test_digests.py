"""Texts as numbers of 8 bytes."""

import numpy as np
import pytest

from cola_search import digests
from cola_search.digests import TextSet, digest, find, hex_digits


def test_a_texts_number_is_the_same_in_every_process() -> None:
    assert digest("arc_easy/Mercury_417466") == 436518836810404310
    assert digest("a\udcff") != digest("a")


def test_the_digits_of_a_text_are_what_folders_that_are_there_are_named_by() -> None:
    assert hex_digits("model=smollm2,seed=0", 8) == "f450b881"
    assert hex_digits("model=smollm2,seed=0", 12).startswith("f450b881")


def test_a_set_knows_its_texts_before_and_after_they_were_sorted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "RECENT", 8)
    texts = [f"sample {i}" for i in range(100)]
    some = TextSet(texts[:50])
    assert len(some) == 50 and all(text in some for text in texts[:50]) and not any(text in some for text in texts[50:])
    for text in texts:
        some.add(text)
    assert len(some) == 100 and all(text in some for text in texts)


def test_a_number_that_is_not_there_is_not_found() -> None:
    numbers = np.array([1, 5, 2**64 - 1], dtype=np.uint64)
    assert [find(numbers, n) for n in (0, 1, 4, 5, 6, 2**64 - 1)] == [None, 0, None, 1, None, 2]
    assert find(numbers[:0], 1) is None
