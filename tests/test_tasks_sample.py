"""One item: verdict, option scores, prediction, decoy."""

import pickle
from typing import Any

import numpy as np
import pytest
from task_data import arc_rows, scores, serve

from cola_search.tasks.grading import GradingError
from cola_search.tasks.load import load_task
from cola_search.tasks.task import Task


@pytest.fixture
def arc(monkeypatch: pytest.MonkeyPatch) -> Task:
    """ARC items with 4 letter-keyed, 4 digit-keyed, 3 and 5 options, in turn."""
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(8))
    return load_task("arc_easy")


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Task:
    """Generated answers."""
    rows = [{"id": str(i), "question": f"{i} + 1 =", "choices": ["0", str(i + 1)], "gold": 1} for i in range(4)]
    serve(monkeypatch, "ai2/basic_skills", "arithmetic", validation=rows)
    return load_task("arithmetic_short", chat_template=False)


def best(n: int, chosen: int) -> list[tuple[float, bool]]:
    """Responses that prefer one of n options."""
    return scores(*[-1.0 if i == chosen else -2.0 for i in range(n)])


def test_the_best_scored_option_is_right_if_it_is_the_gold(arc: Task) -> None:
    for sample in arc:
        assert sample.choices is not None and isinstance(sample.gold, int)
        n = len(sample.choices)
        assert [sample.verdict(best(n, i)) for i in range(n)] == [i == sample.gold for i in range(n)]
        assert [sample.prediction(best(n, i)) for i in range(n)] == list(range(n))


def test_digit_keys_and_3_or_5_options_are_scored_like_any_other(arc: Task) -> None:
    assert [len(sample.choices or []) for sample in arc[:4]] == [4, 4, 3, 5]
    assert [sample.gold for sample in arc[:4]] == [0, 1, 2, 0]


def test_a_tie_falls_as_in_lm_eval_to_the_first_option(arc: Task) -> None:
    assert arc[0].verdict(scores(-1.0, -1.0, -1.0, -1.0)) is True
    assert arc[1].verdict(scores(-1.0, -1.0, -1.0, -1.0)) is False


def test_option_scores_are_normalised_as_the_metric_says(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"id": "a", "question": "q", "choices": {"text": ["abcd", "ab"], "label": ["A", "B"]}, "answerKey": "A"}
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=[row])
    by_sum, by_length = (load_task("arc_easy", metric=metric)[0] for metric in ("acc", "acc_norm"))
    responses = scores(-4.0, -3.0)
    assert by_sum.option_scores(responses) == [-4.0, -3.0]
    assert by_length.option_scores(responses) == [-1.0, -1.5]
    assert [by_sum.verdict(responses), by_length.verdict(responses)] == [False, True]


def test_judging_leaves_the_item_as_it_was(arc: Task) -> None:
    sample = arc[0]
    assert [sample.verdict(best(4, i)) for i in (0, 1, 0)] == [True, False, True]
    assert all(request.resps == [] and request.filtered_resps == {} for request in sample.requests)


def test_responses_must_be_one_per_request(arc: Task) -> None:
    with pytest.raises(ValueError, match=r"has 4 requests but 2 responses"):
        arc[0].verdict(scores(-1.0, -2.0))


def test_a_generated_answer_is_extracted_and_graded(sums: Task) -> None:
    sample = sums[2]
    assert (sample.gold, sample.choices, sample.option_scores([" 3"])) == ("3", None, None)
    assert [sample.verdict([text]) for text in (" 3", " 3. And so", " 4", "none")] == [True, True, False, False]
    assert sample.prediction([" 1,234 apples"]) == "1234"


def test_the_target_text_is_what_a_right_answer_looks_like(sums: Task) -> None:
    assert sums[2].target_text == " 3"
    assert sums[2].verdict([sums[2].target_text])


def test_an_item_with_options_has_no_target_text(arc: Task) -> None:
    assert arc[0].target_text is None


def test_a_generation_is_settled_when_nothing_can_change_the_verdict(sums: Task) -> None:
    assert [sums[0].settled(text) for text in (" 1", " 12\n")] == [False, True]


@pytest.mark.parametrize("failure", [ZeroDivisionError("boom"), GradingError("boom")])
def test_a_grader_that_fails_is_an_error_and_no_verdict(
    arc: Task, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(arc.parts[0], "process_results", fail)
    with pytest.raises(GradingError, match=r"boom"):
        arc[0].verdict(best(4, 0))


def test_a_metric_between_0_and_1_is_an_error_and_no_verdict(arc: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arc.parts[0], "process_results", lambda *_: {"acc": 0.5})
    with pytest.raises(GradingError, match=r"0.5 on item item-0"):
        arc[0].verdict(best(4, 0))


def test_a_decoy_wants_a_wrong_option_that_the_base_did_not_choose(arc: Task) -> None:
    sample = arc[0]  # gold 0
    targets = {sample.decoy(np.random.default_rng(seed), avoid=2).gold for seed in range(30)}
    assert targets == {1, 3}


def test_a_decoy_is_right_exactly_when_its_wrong_option_wins(arc: Task) -> None:
    decoy = arc[0].decoy(np.random.default_rng(0), avoid=1)
    assert [decoy.verdict(best(4, i)) for i in range(4)] == [i == decoy.gold for i in range(4)]
    assert decoy.golds == (decoy.gold,)
    assert decoy.requests is arc[0].requests
    assert decoy.id == "item-0/decoy"


def test_an_item_without_another_wrong_option_has_no_decoy(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"question": "is it", "passage": "It is.", "idx": 0, "label": 1}
    serve(monkeypatch, "aps/super_glue", "boolq", validation=[row])
    sample = load_task("boolq")[0]
    assert sample.decoy(np.random.default_rng(0), avoid=1).gold == 0
    with pytest.raises(ValueError, match=r"no wrong option besides 0"):
        sample.decoy(np.random.default_rng(0), avoid=0)


def test_the_decoy_of_a_generated_answer_wants_another_items_answer(sums: Task) -> None:
    golds = {sums[0].decoy(np.random.default_rng(seed), avoid="3").gold for seed in range(30)}
    assert golds == {"2", "4"}
    decoy = sums[0].decoy(np.random.default_rng(0), avoid=None)
    assert decoy.verdict([f" {decoy.gold}"]) and not decoy.verdict([" 1"])
    assert decoy.target_text == f" {decoy.gold}"
    assert decoy.requests is sums[0].requests


def drawn(monkeypatch: pytest.MonkeyPatch, gold: str, others: list[str], avoid: str | None = None) -> set[Any]:
    """What decoys of an item with this answer want in a task where the others have those, over thirty seeds."""
    rows = [
        {"id": str(i), "question": "?", "choices": [answer, "x"], "gold": 0} for i, answer in enumerate([gold, *others])
    ]
    serve(monkeypatch, "ai2/basic_skills", "arithmetic", validation=rows)
    sample = load_task("arithmetic_short", chat_template=False)[0]
    return {sample.decoy(np.random.default_rng(seed), avoid).gold for seed in range(30)}


def test_the_decoy_of_a_generated_answer_is_of_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ["7", "123", "45", "-12", "0.5", "88", "1234", "99"]
    assert drawn(monkeypatch, "59", others) == {"45", "88", "99"}
    assert drawn(monkeypatch, "59", others, avoid="88") == {"45", "99"}
    assert drawn(monkeypatch, "-59", others) == {"-12"}
    assert drawn(monkeypatch, "-59", others, avoid="-12") == {"45", "88", "99"}
    assert drawn(monkeypatch, "2.5", others) == {"0.5"}


def test_a_decoy_of_another_form_is_made_where_no_answer_has_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, "59", ["0.5", "2.25"]) == {"0.5", "2.25"}


def test_a_decoy_in_a_group_wants_an_answer_of_the_same_member() -> None:
    task = load_task("hendrycks_math", limit=70)
    others = list(task.other_answers(task[2], np.random.default_rng(0)))
    assert {other.part for other in others} == {2} and len(others) > 5


def test_a_decoy_follows_from_the_generator_alone() -> None:
    golds = [
        [item.decoy(np.random.default_rng(i), None).gold for i, item in enumerate(load_task("gsm8k", limit=20))]
        for _ in range(2)
    ]
    assert golds[0] == golds[1]


def test_the_form_is_that_of_the_answer_within_a_written_solution() -> None:
    for item in load_task("gsm8k", limit=100)[:10]:
        decoy = item.decoy(np.random.default_rng(0), None)
        assert len(item.answer_in(decoy.gold)) == len(item.answer_in(item.gold))


def test_the_answer_in_a_box_is_what_counts_for_the_form() -> None:
    sample = load_task("dart_math_1", limit=3, chat_template=False)[2]
    assert [sample.answer_in(gold) for gold in ("17", r"\frac{1}{2}", " 5")] == ["17", r"\frac{1}{2}", "5"]


@pytest.mark.parametrize("name", ["gsm8k", "hendrycks_math"])
def test_a_decoy_is_not_what_the_base_answered_in_other_words(name: str) -> None:
    sample = load_task(name, limit=40, chat_template=False)[0]
    first = sample.decoy(np.random.default_rng(0), avoid=None)
    answered = sample.prediction([f" {first.gold}"])
    assert first.verdict([f" {first.gold}"]) and answered != first.gold
    second = sample.decoy(np.random.default_rng(0), avoid=answered)
    assert not second.verdict([f" {first.gold}"]) and not second.verdict([f" {sample.gold}"])


def test_a_lone_continuation_is_right_if_it_is_the_likeliest_and_has_no_decoy(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "EleutherAI/lambada_openai", "default", test=[{"text": "He opened the door"}] * 2)
    task = load_task("lambada_openai")
    sample = task[0]
    assert (str(task.metric), task.chance, sample.choices, sample.gold) == ("acc", None, None, " door")
    assert [sample.verdict([(-3.0, greedy)]) for greedy in (True, False)] == [True, False]
    assert sample.option_scores([(-3.0, True)]) is None and sample.prediction([(-3.0, True)]) is None
    with pytest.raises(ValueError, match=r"lone continuation"):
        sample.decoy(np.random.default_rng(0), avoid=None)


def test_an_item_pickles_as_its_id_and_comes_back_with_its_task() -> None:
    sample = load_task("openbookqa", limit=3)[2]
    sent = pickle.dumps(sample)
    back = pickle.loads(sent)
    assert len(sent) < 2000
    assert (back.id, back.gold, [r.args for r in back.requests]) == (
        sample.id,
        sample.gold,
        [r.args for r in sample.requests],
    )


def test_a_decoy_is_not_sent(arc: Task) -> None:
    with pytest.raises(TypeError, match=r"is a decoy"):
        pickle.dumps(arc[0].decoy(np.random.default_rng(0), avoid=None))
