"""The papers' protocols: prompts, options, extraction, gold."""

from collections import Counter
from typing import Any

import pytest
from task_data import arc_rows, fake_model, scores, serve

from cola_search.tasks import offline
from cola_search.tasks.definitions import PROTOCOLS, protocols
from cola_search.tasks.load import load_task

NAMES = sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))
GATED = {"void_gpqa_diamond"}


def gpqa_rows(n: int = 12) -> list[dict[str, Any]]:
    """Made-up items in GPQA's form."""
    wrong = {f"Incorrect Answer {k}": f"wrong {k}\n" for k in (1, 2, 3)}
    return [{"Question": f"Made-up question {i}?", "Correct Answer": "right", **wrong} for i in range(n)]


def test_every_protocol_file_defines_the_task_of_its_name() -> None:
    assert sorted(protocols()) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in GATED])
def test_every_protocol_loads_without_a_hub_and_its_first_item_can_be_judged(name: str, tiny_model: Any) -> None:
    task = load_task(name, limit=2).bind(tiny_model)
    sample = task[0]
    if task.kind == "loglikelihood":
        assert sample.choices is not None
        right = scores(*[0.0 if i == sample.gold else -50.0 for i in range(len(sample.choices))])
        wrong = scores(*[-50.0 if i == sample.gold else 0.0 for i in range(len(sample.choices))])
        assert (sample.verdict(right), sample.verdict(wrong)) == (True, False)
    else:
        assert sample.target_text is not None
        assert (sample.verdict([sample.target_text]), sample.verdict(["no answer at all"])) == (True, False)
        assert sample.requests[0].args[1]["do_sample"] is False


@pytest.mark.parametrize("name", ["cola_arc_easy", "cola_arc_easy_generate"])
def test_arc_options_are_lettered_by_position_whatever_their_keys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(4))
    task = load_task(name).bind(fake_model())
    assert [sample.choices for sample in task] == [list("ABCD"), list("ABCD"), list("ABC"), list("ABCDE")]
    assert [sample.gold for sample in task] == [0, 1, 2, 0]
    assert "A. text 11\nB. text 12\nC. text 13\nD. text 14\n" in task[1].requests[0].args[0]


def test_a_digit_keyed_item_is_right_by_its_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(2))
    sample = load_task("cola_arc_easy_generate").bind(fake_model())[1]
    assert sample.doc["answerKey"] == "2"
    assert [sample.verdict([text]) for text in ("Answer: B", "B", "2", "Answer: A")] == [True, True, False, False]
    assert [sample.prediction([text]) for text in ("Answer: B", "none")] == [1, ""]


def test_the_letter_follows_the_chat_prompt_at_once(smollm2: Any) -> None:
    request = load_task("cola_arc_easy", limit=1, model=smollm2)[0].requests[1]
    assert request.args[0].endswith("Answer:<|im_end|>\n<|im_start|>assistant\n")
    assert request.args[1] == "B"


def test_polars_prompt_is_word_for_word_and_bounded() -> None:
    sample = load_task("dart_math_1", limit=1, chat_template=False)[0]
    prompt, generation = sample.requests[0].args
    assert prompt == (
        "Solve the following math problem and output ONLY the final answer directly, formatted strictly as "
        f"\\boxed{{ANSWER}}.\n### Problem Start\n{sample.doc['problem']}\n### Problem End\nAnswer:"
    )
    assert generation == {"until": [], "do_sample": False, "max_gen_toks": 50}


def test_drllms_prompts_are_word_for_word_and_bounded() -> None:
    instruct, base = (
        load_task(f"dart_math_2_{kind}", limit=1, chat_template=False)[0] for kind in ("drllm", "drllm_base")
    )
    problem = instruct.doc["problem"]
    assert instruct.requests[0].args[0] == (
        f"Question: {problem}\nThe final answer MUST BE put in \\boxed{{}} and no explanation."
    )
    assert base.requests[0].args[0].endswith(f"Answer: \\boxed{{5}}\n\nQuestion: {problem}\nAnswer: \\boxed{{")
    assert {sample.requests[0].args[1]["max_gen_toks"] for sample in (instruct, base)} == {15}


def test_dart_math_takes_the_first_closed_box_and_nothing_else() -> None:
    sample = next(item for item in load_task("dart_math_1", chat_template=False) if item.gold == "10")
    answers = {r"\boxed{10} or \boxed{11}": True, r"\boxed{11} or \boxed{10}": False, "10": False, r"\boxed{10": False}
    assert {text: sample.verdict([text]) for text in answers} == answers
    assert sample.prediction([r"so \boxed{10.0}, not"]) == "10.0"


@pytest.mark.parametrize("level", range(1, 6))
def test_dart_math_and_math_hold_the_items_of_their_level(level: int) -> None:
    for name in (f"dart_math_{level}", f"math_level_{level}"):
        task = load_task(name, limit=3, chat_template=False)
        assert {sample.doc["level"] for sample in task} == {f"Level {level}"}


@pytest.mark.parametrize(
    ("name", "column", "subjects"),
    [("dart_math_2", "type", 7), ("math_level_5", "type", 7), ("void_mmlu", "subject", 50)],
)
def test_the_first_items_hold_the_subjects_in_about_their_share(name: str, column: str, subjects: int) -> None:
    task = load_task(name, chat_template=False)
    everywhere = Counter(doc[column] for doc in task._docs[0])
    first = Counter(sample.doc[column] for sample in task[:200])
    assert len(first) >= subjects
    for subject, count in everywhere.most_common(7):
        assert first[subject] == pytest.approx(200 * count / len(task), abs=20)


def test_void_mmlu_items_keep_the_place_in_the_data_set_as_their_id() -> None:
    task, rows = load_task("void_mmlu", limit=3).bind(fake_model()), offline.split_of("cais/mmlu", "all", "test")
    assert task.ids != ["0", "1", "2"]
    assert [rows[int(sample.id)]["question"] for sample in task] == [sample.doc["question"] for sample in task]


def test_gpqa_items_are_shuffled_and_judged_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "Idavidrein/gpqa", "gpqa_diamond", train=gpqa_rows())
    task = load_task("void_gpqa_diamond").bind(fake_model())
    assert len({sample.gold for sample in task}) > 1
    for sample in task:
        assert isinstance(sample.gold, int)
        assert f"{'ABCD'[sample.gold]}. right" in sample.requests[0].args[0]
        assert sample.verdict([f"[{'ABCD'[sample.gold]}]"])
    assert task.chance == 0.25


def test_the_void_papers_prompts_are_word_for_word() -> None:
    mmlu = load_task("void_mmlu").bind(fake_model())["0"]
    assert mmlu.requests[0].args[0] == (
        f"\n    Question:\n    {mmlu.doc['question']}\n\n    Options:\n    A. 0\nB. 4\nC. 2\nD. 6\n\n"
        "    Output format:\n    [Option]\n\n    "
    )
    boolq = load_task("void_boolq", limit=1).bind(fake_model())[0]
    assert boolq.requests[0].args[0] == (
        "\n    Respond to the given question based on the passage with True or False.\n    Passage:\n"
        f"    {boolq.doc['passage']}\n\n    Options:\n    {boolq.doc['question']}\n\n"
        "    Output Format:\n    [True/False]\n    "
    )
    assert mmlu.requests[0].args[1]["max_gen_toks"] == boolq.requests[0].args[1]["max_gen_toks"] == 50


def test_boolq_answers_true_or_false() -> None:
    sample = load_task("void_boolq", limit=1).bind(fake_model())[0]
    assert sample.doc["answer"] is False
    assert [sample.verdict([text]) for text in ("[False]", "False, since", "[True]", "")] == [True, True, False, False]


def test_the_short_sums_start_the_answer_with_the_sum(smollm2: Any) -> None:
    prompt, generation = load_task("arithmetic_short", limit=1, model=smollm2)[0].requests[0].args
    assert prompt.endswith("What is 4 * 8? Answer with the number only.<|im_end|>\n<|im_start|>assistant\n4 * 8 =")
    assert generation["max_gen_toks"] == 12
