"""One benchmark item: its requests, and what a set of responses to them means."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.api.instance import Instance

from cola_search.tasks.grading import GradingError
from cola_search.tasks.metric import as_verdict, option_lengths, option_values

if TYPE_CHECKING:
    from cola_search.tasks.task import Task

MAX_TARGET_CHARS = 80

Response = tuple[float, bool] | str  # (log-probability, whether it is the greedy continuation), or generated text


@dataclass(frozen=True, eq=False)
class Sample:
    """One item of a task. `requests` are lm-eval's, in the order in which responses are given to the methods.

    `gold` is the index of the right option, or the text that is wanted where there are no options; of several right
    options it is the first (`golds` has them all). A decoy has a wrong option, or another item's answer, as its gold.
    """

    id: str
    doc: dict[str, Any]
    requests: list[Instance]
    gold: int | str | None
    golds: tuple[int, ...]
    choices: list[str] | None
    question: str
    task: "Task"
    part: int  # which of the task's lm-eval tasks it belongs to
    judged_as: dict[str, Any] | None = None  # the doc whose answer a generated decoy is graded against
    reordered: bool = False  # its options stand in another order than the data set's (see tasks/shuffle.py)

    def verdict(self, responses: Sequence[Response]) -> bool:
        """Whether the responses (one per request) are right: lm-eval's filters and metric, for a decoy its target.

        Raises GradingError when the grader fails or says something other than 0 or 1.
        """
        if (self.is_decoy or self.reordered) and self.choices is not None:
            return self.prediction(responses) in self.golds
        return self._graded(self._filtered(responses))

    def _graded(self, results: Sequence[Any]) -> bool:
        """The verdict on filtered responses."""
        metric, lm_eval_task = self.task.metric, self.task.parts[self.part]
        try:
            value = lm_eval_task.process_results(self.judged_as or self.doc, results).get(metric.name)
        except GradingError:
            raise
        except Exception as error:  # a definition's own code
            raise GradingError(f"The grader of {self.task.name} failed on item {self.id}: {error!r}") from error
        verdict = as_verdict(value)
        if verdict is None:
            raise GradingError(f"{metric} of {self.task.name} is {value!r} on item {self.id}, not 0 or 1.")
        return verdict

    def option_scores(self, responses: Sequence[Response]) -> list[float] | None:
        """The score of each option as the metric compares them; None for a generated answer or a lone continuation."""
        if self.choices is None or self.task.kind != "loglikelihood":
            return None
        return option_values(self.choices, self.task.metric.name, self._filtered(responses))

    def option_lengths(self) -> list[float]:
        """How many nats of each option make up one unit of its score."""
        return option_lengths(self.choices or [], self.task.metric.name)

    def prediction(self, responses: Sequence[Response]) -> int | str | None:
        """The option that is chosen (its index), or the extracted answer; for a single continuation, None."""
        if (scores := self.option_scores(responses)) is not None:
            return int(np.argmax(scores))
        if self.task.kind == "loglikelihood":
            return None
        answer = self._filtered(responses)[0]
        answer = answer[0] if isinstance(answer, list) and answer else answer
        if self.choices is not None and answer in self.choices:
            return self.choices.index(answer)
        return str(answer)

    def decoy(self, rng: np.random.Generator, avoid: int | str | None) -> "Sample":
        """The same prompt with a wrong answer as its gold: an option that is neither right nor `avoid` (what the base
        chose), or where there are no options another item's answer, of the same form as the right one where the task has one.

        Of the same form is an integer with as many digits and the same sign for an integer, a decimal or fraction for a
        decimal or fraction, an expression or text about as long for any other; else the nearest to it. What is equally near is
        drawn by `rng`. A decoy of another form would rarely be reached, and fixes would stand above it for their form alone.

        Raises ValueError where there is none: on a two-option item whose wrong option the base chose, and on a lone
        continuation, which is likeliest or not.
        """
        if self.choices is not None:
            wrong = [i for i in range(len(self.choices)) if i not in self.golds and i != avoid]
            if not wrong:
                raise ValueError(f"Item {self.id} has no wrong option besides {avoid}.")
            target = int(rng.choice(wrong))
            return replace(self, id=f"{self.id}/decoy", gold=target, golds=(target,))
        if self.task.kind == "loglikelihood":
            raise ValueError(f"Item {self.id} is a lone continuation, so there is no other answer to want.")
        unwanted = [[avoid], self._filtered([str(self.gold)])]
        for other in self.task.other_answers(self, rng):
            decoy = replace(self, id=f"{self.id}/decoy", gold=other.gold, judged_as=other.doc)
            if decoy.gold != avoid and not any(map(decoy._takes, unwanted)):
                return decoy
        raise ValueError(f"No item of {self.task.name} has another answer than {self.id}.")

    def answer_in(self, gold: Any) -> str:
        """The answer in what an item of this task wants: what the filters extract from it, if anything, else all of it."""
        for text in (replace(self, gold=gold).target_text, str(gold)):
            answer = self.prediction([text]) if text else None
            if answer not in (None, ""):
                return str(answer).strip()
        return str(gold).strip()

    def _takes(self, results: Sequence[Any]) -> bool:
        """Whether filtered responses are right; not where they cannot be graded."""
        try:
            return results[0] is not None and self._graded(results)
        except GradingError:
            return False

    @property
    def target_text(self) -> str | None:
        """The text that would be a right answer, which shapes the reward of generated ones; None if none is known.

        A protocol of ours says its form (`target_text` in its metadata); else it is the gold answer, if short.
        """
        if self.task.kind != "generate_until" or self.gold is None:
            return None
        gold = self.choices[self.gold] if self.choices is not None and isinstance(self.gold, int) else str(self.gold)
        if form := self._metadata.get("target_text"):
            return Template(form).substitute(gold=gold)
        if len(gold) > MAX_TARGET_CHARS or "\n" in gold:
            return None
        return gold if self.task.chat_template else self.task.parts[self.part].config.target_delimiter + gold

    def settled(self, text: str) -> bool:
        """Whether the verdict on a generated answer is sure whatever follows `text`, so that generation may stop."""
        rule = self._metadata.get("settled")
        return rule is not None and bool(rule(text))

    @property
    def is_decoy(self) -> bool:
        """Whether this item was made by `decoy`."""
        return self.id.endswith("/decoy")

    @property
    def _metadata(self) -> dict[str, Any]:
        return self.task.parts[self.part].config.metadata or {}

    def _filtered(self, responses: Sequence[Response]) -> list[Any]:
        """The responses after lm-eval's filters, which see them as they see the instances of one document."""
        if len(responses) != len(self.requests):
            raise ValueError(
                f"Item {self.id} has {len(self.requests)} requests but {len(responses)} responses were given."
            )
        name = self.task.metric.filter
        ensemble = next(f for f in self.task.parts[self.part]._filters if f.name == name)
        filtered: Any = [[response] for response in responses]
        for make_filter in ensemble.filters:
            filtered = make_filter().apply(filtered, [request.doc for request in self.requests])
        return list(filtered)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as (task, id): the other side loads the task itself, once."""
        if self.is_decoy:
            raise TypeError(f"Item {self.id} is a decoy: send the item and make the decoy on the other side.")
        return type(self.task).__getitem__, (self.task, self.id)
