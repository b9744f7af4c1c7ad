"""How the answers of our own protocols are cut out of generated text and graded.

The lm-eval YAML files in `protocols/` name these functions. A filter takes lm-eval's `(resps, docs)`, one list of texts
an item, and returns one text an item; `process_results` takes `(doc, [text])` and returns `{metric: 0 or 1}`.
"""

import random
import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cola_search.tasks.answer_size import too_large

if TYPE_CHECKING:
    import datasets

Doc = dict[str, Any]

MAX_ANSWER_CHARS = 300
GRADING_SECONDS = 5
_NUMBER = re.compile(r"[-\u2212]?(?:\d+(?:,\d+)*(?:\.\d+)?|(?<![\w.])\.\d+)")  # U+2212 is the minus sign of print
_LETTER = re.compile(r"(?<![A-Za-z0-9°])([A-E])(?!['’]?[A-Za-z])")  # alone: not in "25°C" or "A's"
_ANNOUNCED = re.compile(r"(?:[Aa]nswer|ANSWER)(?: is)?:?[\s(\[*'‘\"“]*(?:option\s+)?([A-E])(?!['’]?[A-Za-z])")
_DENIED = re.compile(r"(?:\bnot|n't|n’t)\s+(?:option\s+|answer\s+)?[(\[*'‘\"“]*$", re.IGNORECASE)
_COLON = re.compile(r"\banswer(?: is)?:[\s(\[*]*$", re.IGNORECASE)
_NEXT_WORD = re.compile(r" ([a-z]+(?:['’-][a-z]+)*)(.?)", re.DOTALL)
_CLOSED_CLASS = """is are was were has had isn't isn’t wasn't wasn’t would should because and or as since but for so if when
although though thus therefore which that who where in of on at by to from with without due not instead rather than it this
these those there they we you its their the a an"""
_NO_NOUN_PHRASE = frozenset(_CLOSED_CLASS.split())  # words that no article stands before
_NO_VALUE = re.compile(r"(?<=\d)(?:,\\!|\{,\})(?=\d{3}(?!\d))|\\!|\\?%|\bpercent\b")  # in 1,\!000 or 10\%
_ECHO = re.compile(r"\btrue\s*(?:/|or)\s*false\b", re.IGNORECASE)  # of the prompt's "[True/False]"
_FINAL_WORD = re.compile(r"\bfalse\b.|\btrue(?:[^\w\s/]|\s+[^\s/o])", re.IGNORECASE | re.DOTALL)


class GradingError(RuntimeError):
    """The grader could not decide: neither right nor wrong."""


def last_box(text: str) -> str | None:
    r"""The content of the last closed `\boxed{...}` or `\fbox{...}` of a solution, None if there is none.

    This is where MATH keeps its gold answers (https://arxiv.org/abs/2103.03874).
    """
    starts = [m.start() for m in re.finditer(r"\\f?box(?:ed)?\s*\{", text)]
    closed = (_braced(text, text.index("{", start)) for start in reversed(starts))
    return next((content for content in closed if content is not None), None)


def first_box(text: str) -> str | None:
    r"""The content of the first closed `\boxed{...}` of an answer, None if there is none; all that follows is cut."""
    for match in re.finditer(r"\\boxed\s*\{", text):
        if (content := _braced(text, match.end() - 1)) is not None:
            return content
    return None


def first_letter(text: str, options: Sequence[str] = ("",) * 5) -> str:
    """The option letter that an answer gives, "" if none: the one after "answer is" if announced, else the first.

    `options` are the item's; a letter beyond them is none, and neither is one that is denied ("not A").
    """
    for pattern in (_ANNOUNCED, _LETTER):
        for match in pattern.finditer(text):
            if _is_letter(match, options):
                return match.group(1)
    return ""


def true_or_false(text: str) -> str:
    """ "True" or "False", whichever word comes first in the answer, "" if neither does; "True/False" is neither."""
    match = re.search(r"\b(true|false)\b", _ECHO.sub("", text), re.IGNORECASE)
    return match.group(1).capitalize() if match else ""


def first_number(text: str) -> str:
    """The first number of an answer, without thousands separators and with an ASCII minus, "" if there is none."""
    match = _NUMBER.search(text)
    return match.group().replace(",", "").replace("\u2212", "-") if match else ""


def box_closed(text: str) -> bool:
    """Whether nothing that may follow can change the first closed box, as the end of a box around it would."""
    first = re.search(r"\\boxed\s*\{", text)
    return first is not None and _braced(text, first.end() - 1) is not None


def open_box_closed(text: str) -> bool:
    """Whether the box that the prompt has opened is closed."""
    return box_closed(r"\boxed{" + text)


def word_said(text: str) -> bool:
    """Whether "true" or "false" stands there as a whole word that cannot become the prompt's "True/False"."""
    return _FINAL_WORD.search(_ECHO.sub("", text)) is not None


def number_said(text: str) -> bool:
    """Whether the first number is complete."""
    return re.search(f"(?:{_NUMBER.pattern})" + r"(?:[^\d.,]|[.,]\D)", text) is not None


def filter_box(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    """What stands in the first closed box of each answer, "" without one (PoLar accepts nothing else)."""
    return _each(resps, lambda text: first_box(text) or "")


def filter_last_box(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    """What stands in the last closed box of each answer, "" without one."""
    return _each(resps, lambda text: last_box(text) or "")


def filter_open_box(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    r"""What stands before the brace that closes a box which the prompt has opened, "" if it never closes."""
    return _each(resps, lambda text: first_box(r"\boxed{" + text) or "")


def filter_letter(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    """The option letter of each answer, among those of the item."""
    return [first_letter(texts[0], _options(doc)) for texts, doc in zip(resps, docs, strict=True)]


def filter_true_or_false(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    """ "True" or "False" for each answer."""
    return _each(resps, true_or_false)


def filter_number(resps: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[str]:
    """The first number of each answer."""
    return _each(resps, first_number)


def grade_math(doc: Doc, results: Sequence[str]) -> dict[str, int]:
    """Whether the answer equals `doc["answer"]` as mathematics. Raises GradingError."""
    return {"exact_match": int(same_math(str(doc["answer"]), results[0]))}


def grade_number(doc: Doc, results: Sequence[str]) -> dict[str, int]:
    """Whether the answer is the number `doc["answer"]`."""
    return {"exact_match": int(results[0] != "" and float(results[0]) == float(doc["answer"]))}


def same_math(gold: str, answer: str) -> bool:
    r"""Whether two LaTeX answers mean the same, by math-verify; raises GradingError when it cannot say within bounds.

    Percent signs are dropped on both sides, as MATH's own grader does (https://arxiv.org/abs/2103.03874): 10\% is 10 and
    not 0.1. So are a full stop at the end and Markdown's bold. An answer of hundreds of characters that is not the gold's is
    wrong. A gold answer in which math-verify reads only text is an error, since nothing but the same text would equal it.

    math-verify bounds its time by SIGALRM, which only a main thread may use, so elsewhere its own limit is off; in both
    cases the size of what it is given is bounded (answer_size.py).
    """
    gold, answer = _plain(gold), _plain(answer)
    if not answer:
        return False
    if "".join(gold.split()) == "".join(answer.split()):
        return True
    if len(answer) > MAX_ANSWER_CHARS:
        return False
    if too_large(answer):
        raise GradingError(f"The answer '{answer[:60]}' is too large to be compared with '{gold[:60]}'.")
    seconds = GRADING_SECONDS if threading.current_thread() is threading.main_thread() else None
    return _verify(gold, answer, seconds)


def gpqa_options(dataset: "datasets.Dataset") -> "datasets.Dataset":
    """GPQA with `options` in an order that follows from the question alone, and `gold`, the index of the right one.

    Differs from the Void paper's code, where the right option is always the last (https://arxiv.org/abs/2505.14467).
    """
    keys = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")

    def with_options(doc: Doc) -> Doc:
        options = [str(doc[key]).strip() for key in keys]
        order = shuffled(len(options), str(doc["Question"]))
        return {"options": [options[i] for i in order], "gold": order.index(len(options) - 1)}

    return dataset.map(with_options)


def sciq_options(dataset: "datasets.Dataset") -> "datasets.Dataset":
    """SciQ with `options` shuffled and `gold`: in the data, the right option always comes last."""
    keys = ("distractor1", "distractor2", "distractor3", "correct_answer")

    def with_options(doc: Doc) -> Doc:
        order = shuffled(len(keys), str(doc["question"]))
        return {"options": [doc[keys[i]] for i in order], "gold": order.index(len(keys) - 1)}

    return dataset.map(with_options)


def shuffled(n: int, seed: str) -> list[int]:
    """A permutation of range(n) that follows from the text `seed` alone, on every machine."""
    return random.Random(seed).sample(range(n), n)


def _options(doc: Doc) -> Sequence[str]:
    """The item's options under the names that the data sets give them; five unknown ones where there are none."""
    options = doc.get("options") or doc.get("choices") or ("",) * 5
    return options["text"] if isinstance(options, dict) else options


def _is_letter(match: re.Match[str], options: Sequence[str]) -> bool:
    """Whether what looks like an option's letter is one: "A cat" is, only if the cat is option A or "Answer:" is before it
    and the cat is no other option."""
    before, after = match.string[: match.start(1)], match.string[match.end(1) :]
    if "ABCDE".index(match.group(1)) >= len(options) or _DENIED.search(before):
        return False
    if match.group(1) != "A" or not _goes_on_as_noun(after):
        return True
    own, *others = (_starts_with(option, after) for option in options)
    return own or (_COLON.search(before) is not None and not any(others))


def _goes_on_as_noun(after: str) -> bool:
    """Whether an "A" before this text reads as an article; not where the text is cut within a word that may follow a letter."""
    word = _NEXT_WORD.match(after)
    if word is None or word.group(1) in _NO_NOUN_PHRASE:
        return False
    return bool(word.group(2)) or not any(known.startswith(word.group(1)) for known in _NO_NOUN_PHRASE)


def _starts_with(option: str, text: str) -> bool:
    """Whether the text starts with an option, whose own article does not count."""
    bare = re.sub(r"^(?:an?|the) ", "", option.strip().rstrip(".").lower())
    return bare != "" and re.match(re.escape(bare) + r"(?!\w)", text.strip().lower()) is not None


def _each(resps: Sequence[Sequence[str]], cut: Callable[[str], str]) -> list[str]:
    return [cut(texts[0]) for texts in resps]


def _braced(text: str, start: int) -> str | None:
    """What stands between the brace at `start` and its partner, None if it is never closed."""
    depth = 0
    for i in range(start, len(text)):
        escaped = i > 0 and text[i - 1] == "\\" and (i < 2 or text[i - 2] != "\\")
        if not escaped:
            depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start + 1 : i]
    return None


def _plain(answer: str) -> str:
    """An answer without what says nothing about its value."""
    bold = re.fullmatch(r"\s*\*\*([^*]+)\*\*\.?\s*", answer)
    plain = _NO_VALUE.sub("", bold.group(1) if bold else answer).strip()
    return re.sub(r"(?<!\.)\.$", "", plain).strip()


def _verify(gold: str, answer: str, seconds: int | None) -> bool:
    import math_verify
    from math_verify.errors import TimeoutException

    try:
        parsed_gold = _parse(gold, seconds)
        parsed_answer = _parse(answer, seconds)
        if all(isinstance(value, str) for value in parsed_gold):
            raise GradingError(
                f"math-verify reads no mathematics in the gold answer '{gold[:60]}'; choose another grader."
            )
        return bool(
            math_verify.verify(parsed_gold, parsed_answer, timeout_seconds=seconds, raise_on_error=True)  # gold first
        )
    except (Exception, TimeoutException) as error:
        if isinstance(error, GradingError):
            raise
        raise GradingError(f"math-verify failed on '{answer[:60]}' against '{gold[:60]}': {error}") from error


def _parse(latex: str, seconds: int | None) -> list[Any]:
    import math_verify

    return math_verify.parse(rf"$\boxed{{{latex}}}$", parsing_timeout=seconds, raise_on_error=True)
