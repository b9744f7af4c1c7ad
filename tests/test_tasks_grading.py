"""The cutting out and grading of generated answers."""

import threading
import time

import datasets
import pytest

from cola_search.tasks import grading
from cola_search.tasks.answer_size import too_large
from cola_search.tasks.grading import GradingError, same_math
from cola_search.tasks.load import load_task


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        (r"so $\boxed{2}$.", "2"),
        (r"\boxed{1} is wrong, \boxed{\frac{1}{2}} is right", r"\frac{1}{2}"),
        (r"\boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
        (r"\fbox{D}", "D"),
        (r"\boxed {7}", "7"),
        (r"\boxed{3} and an open \boxed{4", "3"),
        ("no box", None),
    ],
)
def test_the_gold_is_in_the_last_closed_box(solution: str, gold: str | None) -> None:
    assert grading.last_box(solution) == gold


def test_what_follows_the_first_closed_box_is_cut() -> None:
    assert grading.first_box(r"\boxed{5} no wait, \boxed{6}") == "5"


def test_an_open_box_is_no_answer() -> None:
    assert grading.filter_box([[r"\boxed{5"]], [{}]) == [""]
    assert grading.filter_box([["5"]], [{}]) == [""]


def test_a_box_that_the_prompt_opened_ends_at_its_own_brace() -> None:
    assert grading.filter_open_box([[r"\frac{1}{2}} and more}"]], [{}]) == [r"\frac{1}{2}"]


def test_the_last_box_counts_where_the_answer_reasons() -> None:
    assert grading.filter_last_box([[r"first \boxed{5}, then \boxed{6}"]], [{}]) == ["6"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("[C]", "C"),
        ("(d) or D.", "D"),
        ("Answer: A", "A"),
        ("A is right", "A"),
        ("A car is what option C shows, so the answer is B.", "B"),
        ("A plant makes food", ""),
        ("The correct answer is (E)", "E"),
        ("Both are wrong", ""),
        ("The answer is not A, it is B", "B"),
        ("It isn't option (C) but D", "D"),
        ("25°C so B", "B"),
        ("'D'", "D"),
        ("The answer is not 'A' but 'B'", "B"),
        ("A's colour is that of B", "B"),
        ("C looks right, but the answer is 'B'.", "B"),
        ('Of C and D, the answer is "D".', "D"),
        ("C looks right. **Answer:** B", "B"),
        ("C looks right. The answer is option B", "B"),
        ("", ""),
    ],
)
def test_the_letter_of_an_answer_is_the_announced_one_else_the_first(text: str, letter: str) -> None:
    assert grading.filter_letter([[text]], [{}]) == [letter]


@pytest.mark.parametrize(
    "doc",
    [
        {"options": ["cat", "dog", "cow"]},
        {"choices": ["cat", "dog", "cow"]},
        {"choices": {"text": ["A cat.", "A dog.", ""]}},
    ],
)
def test_a_letter_is_read_by_the_options_of_the_item(doc: dict[str, object]) -> None:
    texts = ["Answer: A cat", "Answer: A dog", "Answer: D", "E. coli, so B", "The answer is D or C"]
    assert grading.filter_letter([[text] for text in texts], [doc] * 5) == ["A", "", "", "B", "C"]


@pytest.mark.parametrize(
    "start", ["Answer: {}", "The answer is {}", "answer is: {}", "**Answer:** {}", "{}", "I think {}"]
)
def test_letters_are_read_alike_whatever_follows_that_no_noun_phrase_can_be(start: str) -> None:
    ends = (
        "", " ", ".", ",", ")", "\n", ": Iron", " Iron", " is right", " isn't B", " because", " because it burns", " and",
        " or not", " as it burns", " since it", " but", " for this reason", " so", " if it burns", " which is",
        " in air", " beca", " s",
    )  # fmt: skip
    for end in ends:
        assert [grading.first_letter(start.format(letter) + end) for letter in "AB"] == ["A", "B"], end


@pytest.mark.parametrize("rest", ["plant makes food", "cat", "by-product of it", "cat is"])
def test_an_article_is_no_letter_unless_an_answer_is_announced_with_a_colon(rest: str) -> None:
    options = ["iron", "gold", "tin"]
    starts = ("A ", "The answer is A ", "Answer: A ", "Answer: B ")
    assert [grading.first_letter(start + rest, options) for start in starts] == ["", "", "A", "B"]


def test_the_text_of_another_option_after_the_colon_is_no_letter() -> None:
    options = ["a cat", "the dog", "oxygen gas"]
    texts = ["Answer: A dog", "Answer: A oxygen gas.", "Answer: A dogma", "Answer: A cat", "The answer is A cat"]
    assert [grading.first_letter(text, options) for text in texts] == ["", "", "A", "A", "A"]


@pytest.mark.parametrize(
    ("text", "word"),
    [("[True/False]", ""), ("[True/False]: False", "False"), ("True or False: false", "False"), ("True, not", "True")],
)
def test_an_echo_of_the_two_words_is_not_one_of_them(text: str, word: str) -> None:
    assert grading.true_or_false(text) == word


@pytest.mark.parametrize("text", ["[True/False]: False.", "True or False? True.", "[True]", "False / True", "True\nx"])
def test_a_word_is_final_only_if_the_answer_cannot_change_any_more(text: str) -> None:
    for end in range(len(text)):
        if grading.word_said(text[:end]):
            assert grading.true_or_false(text[:end]) == grading.true_or_false(text)
    assert grading.word_said(text)


def test_true_or_false_is_the_first_of_the_two_words() -> None:
    assert grading.filter_true_or_false([["[True]"], ["false, not true"], ["untrue"]], [{}] * 3) == [
        "True",
        "False",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 32", "32"),
        ("-7.", "-7"),
        ("1,234 in all", "1234"),
        ("2.5", "2.5"),
        (".5", ".5"),
        ("-.5", "-.5"),
        ("\u22125", "-5"),
        ("x = \u22121,000.5", "-1000.5"),
        ("...5", "5"),
        ("no.5", "5"),
    ],
)
def test_the_first_number_of_an_answer_counts(text: str, number: str) -> None:
    assert grading.filter_number([[text]], [{}]) == [number]


@pytest.mark.parametrize(("answer", "right"), [("32", 1), ("32.0", 1), ("33", 0), ("", 0)])
def test_numbers_are_compared_as_numbers(answer: str, right: int) -> None:
    assert grading.grade_number({"answer": "32"}, [answer]) == {"exact_match": right}


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        (r"\frac{1}{2}", "0.5", True),
        ("2x+1", "1 + 2x", True),
        (r"\text{(A)}", "A", True),
        (r"(3,\frac{\pi}{2})", r"\left( 3, \frac{\pi}{2} \right)", True),
        (r"\text{Evelyn}", "Evelyn", True),
        ("[1,2)", "[1,2]", False),
        ("5", "ANSWER", False),
        ("5", "", False),
        ("5", "5 and 6", False),
        ("10", "**10**", True),
        ("5", "1" * 400, False),
        ("5", "1+" * 200 + "1", False),
        ("12", "12.", True),
        ("12", "**12.**", True),
        ("12", "**12**.", True),
        ("(3,4)", "(3,4).", True),
        (r"\frac{7}{5} + \frac{1}{5} i.", r"\frac{7+i}{5}", True),
        (r"\frac{12}{5,\!525}", r"\frac{12}{5525}", True),
        (r"10{,}000", "10,000", True),
        (r"(1,\!2)", "(1,2)", True),
        ("5", "%", False),
        ("0.5", r"\ldots.", False),
    ],
)
def test_answers_are_compared_as_mathematics(gold: str, answer: str, same: bool) -> None:
    assert same_math(gold, answer) is same


@pytest.mark.parametrize("gold", ["10", r"10\%", r"10 \%", "10%", "10.", r"10\%."])
def test_a_percent_sign_changes_nothing_on_either_side(gold: str) -> None:
    right = [
        "10",
        r"10\%",
        "10%",
        r"10 \%.",
        "10 percent",
        r"10\text{ percent}",
        r"\text{10 percent}",
        r"**10\%**",
        "10.0",
    ]
    assert [same_math(gold, answer) for answer in right] == [True] * len(right)
    assert [same_math(gold, answer) for answer in ("0.1", r"\frac{1}{10}", r"100\%", r"1\%", r"0.1\%")] == [False] * 5


def test_the_golds_of_math_are_read_as_mathematics_and_none_is_too_large() -> None:
    tasks = [load_task(f"math_level_{level}") for level in range(1, 6)]
    golds = sorted({gold for task in tasks for docs in task._docs for gold in docs["answer"]})
    assert len(golds) == 2047
    assert [gold for gold in golds if too_large(gold)] == []
    rare = [gold for gold in golds if "%" in gold or r"\!" in gold or gold.endswith(".")]
    for gold in {*golds[::25], *rare}:
        assert any(not isinstance(value, str) for value in grading._parse(grading._plain(gold), 5)), gold


def test_a_gold_answer_that_is_only_text_to_math_verify_is_an_error() -> None:
    assert same_math(r"\frac{12}{5,525}", r"\frac{12}{5,525}.") is True
    with pytest.raises(GradingError, match=r"no mathematics in the gold answer '\\frac"):
        same_math(r"\frac{12}{5,525}", r"\frac{12}{5525}")


@pytest.mark.parametrize("answer", ["9^{9^{9}}", "2^{99999999}", "99999999!"])
def test_an_answer_too_large_to_compare_is_an_error_not_a_wrong_answer(answer: str) -> None:
    with pytest.raises(GradingError, match=r"too large"):
        same_math("5", answer)


def test_a_large_answer_that_is_the_gold_to_the_letter_is_right() -> None:
    assert same_math("9^{9^{9}}", "9^{ 9^{9} }")


def test_a_failing_grader_is_an_error_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, raise_on_error: bool = False, **__: object) -> bool:
        if raise_on_error:
            raise ZeroDivisionError("boom")
        return False  # what math-verify does with its errors unless it is told otherwise

    monkeypatch.setattr("math_verify.verify", fail)
    with pytest.raises(GradingError, match=r"boom"):
        grading.grade_math({"answer": "5"}, ["6"])


def test_grading_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "GRADING_SECONDS", 1)
    monkeypatch.setattr("math_verify.grader.sympy_expr_eq", lambda *_: time.sleep(60))
    with pytest.raises(GradingError, match=r"math-verify failed"):
        same_math("1", "2")


def test_grading_works_outside_the_main_thread() -> None:
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(same_math(r"\frac{3}{4}", "0.75")))
    thread.start()
    thread.join()
    assert verdicts == [True]


@pytest.mark.parametrize("answer", ["(99!)!", "10^{-9999999}", "9999999^{999999}", "(9^{9999})^{9999}"])
def test_what_is_too_large_is_refused_at_once_outside_the_main_thread(answer: str) -> None:
    refused: list[GradingError] = []

    def grade() -> None:
        try:
            same_math("5", answer)
        except GradingError as error:
            refused.append(error)

    thread = threading.Thread(target=grade, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert ["too large" in str(error) for error in refused] == [True]


def test_a_closed_box_in_an_open_one_is_not_final() -> None:
    assert grading.box_closed(r"\boxed{\boxed{5}") is False
    assert grading.box_closed(r"\boxed{\boxed{5}}") is True


def test_generation_may_stop_once_the_first_box_is_closed() -> None:
    assert [grading.box_closed(text) for text in (r"\boxed{", r"\boxed{5", r"\boxed{5}")] == [False, False, True]
    assert [grading.open_box_closed(text) for text in (r"\frac{1}{2}", r"\frac{1}{2}}")] == [False, True]


def test_generation_may_stop_once_a_word_or_number_cannot_go_on() -> None:
    assert [grading.word_said(text) for text in ("[True", "[True]", "Untrue.")] == [False, True, False]
    assert [grading.number_said(text) for text in (" 12", " 12.", " 12. ", " 12\n")] == [False, False, True, True]


@pytest.mark.parametrize(
    "text",
    [".5 or 3 ", "-.5, or 3", "\u22121,234.5 x", "no.5 x", "...5. x", "1,234. x", "-7.25\n8 ", "1,.5 x", "2,,34 "],
)
def test_the_first_number_stays_what_it_is_once_generation_may_stop(text: str) -> None:
    for end in range(len(text)):
        if grading.number_said(text[:end]):
            assert grading.first_number(text[:end]) == grading.first_number(text)
    assert grading.number_said(text)


def test_gpqa_options_are_shuffled_the_same_way_every_time() -> None:
    rows = [
        {"Question": f"q{i}", "Correct Answer": "right", **{f"Incorrect Answer {k}": f"w{k}" for k in (1, 2, 3)}}
        for i in range(40)
    ]
    first, second = (grading.gpqa_options(datasets.Dataset.from_list(rows)) for _ in range(2))
    assert first["options"][:] == second["options"][:]
    assert set(first["gold"]) == {0, 1, 2, 3}
    assert all(row["options"][row["gold"]] == "right" for row in first)
