"""A benchmark as a sequence of items."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from task_data import arc_rows, fake_model, serve

from cola_search.errors import UserError
from cola_search.tasks.load import load_task


def test_ids_are_the_data_sets_own_and_the_same_for_any_limit() -> None:
    whole, some = load_task("openbookqa"), load_task("openbookqa", limit=5)
    assert list(some.ids) == whole.ids[:5]
    assert len(set(whole.ids)) == len(whole) == 500
    assert some["8-343"] is some[0]


def test_ids_are_places_in_the_split_where_there_are_no_own_ones() -> None:
    assert list(load_task("piqa", limit=3).ids) == ["0", "1", "2"]


def test_the_first_items_of_the_split_are_taken_as_in_lm_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(6))
    task = load_task("arc_easy", limit=2)
    assert [sample.id for sample in task] == ["item-0", "item-1"]
    assert [sample.id for sample in task[1:]] == ["item-1"]
    assert task[-1].id == "item-1"
    with pytest.raises(IndexError):
        task[2]
    with pytest.raises(KeyError, match=r"no item item-5"):
        task["item-5"]


def test_few_shot_prompts_do_not_depend_on_the_order_of_asking_or_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", train=arc_rows(40), test=arc_rows(6))
    forwards, backwards = load_task("arc_easy", fewshot=3), load_task("arc_easy", fewshot=3, limit=4)
    prompts = [sample.requests[0].args for sample in forwards]
    assert [backwards[i].requests[0].args for i in (3, 0, 2, 1)] == [prompts[i] for i in (3, 0, 2, 1)]
    assert len(set(prompts)) == 6
    other = load_task("arc_easy", fewshot=3, fewshot_seed=7)
    assert other[0].requests[0].args != prompts[0]


def test_chance_is_one_over_the_number_of_options_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(4))
    assert load_task("arc_easy").chance == pytest.approx((1 / 4 + 1 / 4 + 1 / 3 + 1 / 5) / 4)


def test_majority_is_the_share_of_the_most_frequent_gold() -> None:
    assert load_task("boolq").majority == pytest.approx(2033 / 3270)
    assert load_task("dart_math_1", chat_template=False).majority < 0.1


def test_a_generated_answer_without_options_has_no_chance_level() -> None:
    assert load_task("gsm8k", limit=5).chance is None


def test_the_gold_of_sciq_is_not_always_the_last_option() -> None:
    task = load_task("sciq")
    assert task.chance == 0.25
    assert task.majority < 0.3


def test_an_empty_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(1))
    monkeypatch.setattr("cola_search.tasks.items.docs_of", lambda part: [])
    with pytest.raises(UserError, match=r"task.name=arc_easy has no items"):
        load_task("arc_easy")


PIQA = {"goal": "g", "sol1": "x", "sol2": "y"}
COPA = {"premise": "It rained.", "choice1": "Ah.", "choice2": "Oh.", "question": "effect", "idx": 0}
WINOGRANDE = {"sentence": "The _ ran.", "option1": "dog", "option2": "cat"}


@pytest.mark.parametrize(
    ("name", "path", "subset", "row"),
    [
        ("piqa", "baber/piqa", None, {**PIQA, "label": -1}),
        ("copa", "aps/super_glue", "copa", {**COPA, "label": -1}),  # whose gold would be the second option
        ("piqa", "baber/piqa", None, {**PIQA, "label": 2}),
        ("winogrande", "allenai/winogrande", "winogrande_xl", {**WINOGRANDE, "answer": ""}),
    ],
)
def test_a_split_whose_answers_are_held_back_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str, subset: str | None, row: dict[str, Any]
) -> None:
    serve(monkeypatch, path, subset, test=[row, row])
    with pytest.raises(UserError, match=rf"task.split=test: {name} has an item without a right answer.*with answers"):
        load_task(name, split="test")


def test_an_unlabelled_item_further_on_is_refused_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "baber/piqa", None, validation=[{**PIQA, "label": 1}, {**PIQA, "label": -1}])
    task = load_task("piqa")
    assert task[0].gold == 1
    with pytest.raises(UserError, match=r"task.split=validation"):
        task[1]


def test_a_group_takes_its_members_in_turn() -> None:
    task = load_task("hendrycks_math", limit=9)
    subjects = [id_.split("/")[0] for id_ in task.ids]
    assert len(set(subjects[:7])) == 7
    assert subjects[7:] == subjects[:2]


def test_a_tag_is_a_task_too() -> None:
    assert list(load_task("ai2_arc", limit=2).ids) == ["arc_challenge/Mercury_7175875", "arc_easy/Mercury_417466"]


def test_prompts_go_through_the_chat_template_when_it_is_on(tiny_model: Any) -> None:
    task = load_task("arc_easy", limit=1, chat_template=True, system="Be brief.").bind(tiny_model)
    context, continuation = task[0].requests[0].args
    assert context.startswith("<|system|>Be brief.<eos><|user|>Question: ")
    assert context.endswith("<eos><|assistant|>")
    assert not continuation.startswith(" ")  # lm-eval's rule: no delimiter after a chat prompt
    assert task.chat_template is True


def test_few_shot_examples_can_be_turns_of_the_conversation(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", train=arc_rows(9), test=arc_rows(1))
    prompts = [
        load_task("arc_easy", model=tiny_model, fewshot=2, chat_template=True, fewshot_as_multiturn=multiturn)[0]
        .requests[0]
        .args[0]
        for multiturn in (False, True)
    ]
    assert [prompt.count("<|assistant|>") for prompt in prompts] == [1, 3]


def test_a_wanted_template_needs_the_model_first() -> None:
    task = load_task("arc_easy", limit=1, chat_template=True)
    with pytest.raises(RuntimeError, match=r"bind"):
        task[0]


def test_protocols_use_the_template_of_models_that_have_one(tiny_model: Any) -> None:
    chat, base = (load_task("cola_arc_easy", limit=1).bind(model) for model in (tiny_model, fake_model()))
    assert (chat.chat_template, base.chat_template) == (True, False)
    assert chat[0].requests[0].args[0].startswith("<|user|>")
    assert base[0].requests[0].args[0].startswith("Question:")


def test_the_prompt_hash_follows_the_prompts_and_not_the_model_or_the_limit(tiny_model: Any) -> None:
    plain = load_task("arc_easy", limit=3)
    assert len(plain.prompt_hash) == 16
    assert plain.prompt_hash == plain.bind(tiny_model).prompt_hash == load_task("arc_easy", limit=5).prompt_hash
    for change in ({"chat_template": True}, {"system": "Be brief."}, {"split": "validation"}):
        assert load_task("arc_easy", limit=3, **change).prompt_hash != plain.prompt_hash


def test_the_length_of_a_prompt_is_known_without_the_model() -> None:
    task = load_task("cola_arc_easy", limit=20)
    shown = "Question: " + task._docs[0][0]["question"]
    assert task.prompt_length(task.ids[0]) > len(shown)
    assert len({task.prompt_length(id_) for id_ in task.ids}) > 10
    winogrande = load_task("winogrande", limit=1)
    assert winogrande.prompt_length("0") > 50


def test_a_task_pickles_and_comes_back_with_the_same_prompts(tiny_model: Any) -> None:
    task = load_task("cola_arc_easy", limit=2, model=tiny_model)
    back = pickle.loads(pickle.dumps(task))
    assert back.prompt_hash == task.prompt_hash
    assert list(back.ids) == list(task.ids)


def test_importing_the_task_settings_does_not_import_lm_eval() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from cola_search.tasks.config import TaskConfig; TaskConfig('x'); print('lm_eval' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
