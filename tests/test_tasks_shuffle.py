"""Items with their options in another order."""

from dataclasses import replace

import numpy as np
import pytest
from task_data import scores

from cola_search.tasks.load import load_task
from cola_search.tasks.sample import Sample
from cola_search.tasks.shuffle import NotListed, orders, reorder


@pytest.fixture(scope="module")
def listed() -> Sample:
    return load_task("cola_arc_easy", limit=1, chat_template=False)[0]


def test_orders_are_distinct_and_never_the_one_that_is_there() -> None:
    found = orders(["a", "b", "c"], 99, np.random.default_rng(0))
    assert len({tuple(order) for order in found}) == 5
    assert [0, 1, 2] not in found and orders(["a"], 4, np.random.default_rng(0)) == []


def test_the_prompt_lists_the_options_anew_and_the_right_one_moves_with_its_text(listed: Sample) -> None:
    order = [2, 0, 3, 1]
    moved = reorder(listed, order)
    before, after = listed.requests[0].args[0], moved.requests[0].args[0]
    texts = listed.doc["choices"]["text"]
    assert sorted(before.split("\n")) != sorted(after.split("\n"))
    for place, origin in enumerate(order):
        assert f"{'ABCD'[place]}. {texts[origin]}" in after
    assert moved.doc["choices"]["text"][moved.gold] == texts[listed.gold]
    assert [request.args[1] for request in moved.requests] == [request.args[1] for request in listed.requests]
    assert listed.requests[0].args[0] == before and listed.doc["choices"]["text"] == texts


def test_an_example_that_reads_as_the_item_does_stays_as_it_is(listed: Sample) -> None:
    own = listed.requests[0].args[0]
    shown = [replace(each, arguments=(f"{own} B\n\n{own}", *each.args[1:])) for each in listed.requests]
    order = [2, 0, 3, 1]
    example, _, item = reorder(replace(listed, requests=shown), order).requests[0].args[0].partition(" B\n\n")
    assert (example, item) == (own, reorder(listed, order).requests[0].args[0])


def test_what_answers_a_reordered_item_right_is_the_moved_option(listed: Sample) -> None:
    moved = reorder(listed, [1, 2, 3, 0])
    verdicts = [moved.verdict(scores(*(0.0 if i == chosen else -1.0 for i in range(4)))) for chosen in range(4)]
    assert [i for i, right in enumerate(verdicts) if right] == [moved.gold] != [listed.gold]


def test_options_that_have_a_column_each_are_reordered_too() -> None:
    sample, order = load_task("medmcqa", limit=1)[0], [2, 0, 3, 1]
    moved = reorder(sample, order)
    texts = [sample.doc[key] for key in ("opa", "opb", "opc", "opd")]
    lines = [f"{letter}. {texts[i]}" for letter, i in zip("ABCD", order, strict=True)]
    assert "\n".join(lines) in moved.requests[0].args[0]
    assert order[moved.gold] == sample.gold


def test_options_that_the_prompt_does_not_list_cannot_be_reordered() -> None:
    with pytest.raises(NotListed, match="does not list"):
        reorder(load_task("arc_easy", limit=1)[0], [1, 0, 2, 3])


def test_options_that_speak_of_one_another_cannot_be_reordered(listed: Sample) -> None:
    texts = [*listed.doc["choices"]["text"][:3], "Both A and B"]
    doc = {**listed.doc, "choices": {**listed.doc["choices"], "text": texts}}
    with pytest.raises(NotListed, match="one another"):
        reorder(replace(listed, doc=doc), [1, 0, 2, 3])


def test_generated_letters_are_judged_in_the_new_order() -> None:
    listed = load_task("void_mmlu", chat_template=False)["0"]
    moved = reorder(listed, [3, 2, 1, 0])
    assert moved.gold == 3 - listed.gold
    assert [moved.verdict([f"[{letter}]"]) for letter in "ABCD"] == [i == moved.gold for i in range(4)]
