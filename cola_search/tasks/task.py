"""A benchmark as a sequence of items, in lm-eval's order, ids and prompts."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from lm_eval.api.instance import Instance

from cola_search.digests import hex_digits
from cola_search.errors import UserError
from cola_search.tasks import items
from cola_search.tasks.answer_form import unlikeness
from cola_search.tasks.build import build, quiet
from cola_search.tasks.chat import ChatTemplate, chat_template_of
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.ids import Ids
from cola_search.tasks.sample import Sample

if TYPE_CHECKING:
    from cola_search.model.loading import LoadedModel

OTHERS = 500
"""First items, whatever a run has of them: chance and majority are known from them, controls draw from them."""
KEPT = 5_000
"""Items that were made and answers that were read, kept to be asked for again."""


class Task(Sequence[Sample]):
    """The items of a benchmark. `task[i]` and `task["id"]` give one; items are made when they are asked for.

    `parts` are lm-eval's task objects: one, or the members of a group, whose items then alternate (the first of each,
    the second of each, ...) so that any number of first items is a fair draw. `notes` are sentences that belong beside
    the results. Where a chat template is wanted, `bind` must be called with the model before items are asked for.
    """

    def __init__(self, config: TaskConfig, chat: tuple[Any, str] | None = None) -> None:
        self.config = config
        self.name = config.name
        self.parts, notes = build(config)
        self.notes = tuple(notes)
        self.kind = items.common_kind(config.name, self.parts)
        self.metric = items.common_metric(config, self.parts)
        with quiet():
            self._docs = [items.docs_of(part) for part in self.parts]
        self._places = items.alternate([len(docs) for docs in self._docs])[: config.limit]
        if not len(self._places):
            raise UserError(f"task.name={config.name} has no items; choose another task or split (task.split).")
        self._bound = chat
        self._chat_on, self._chat = self._choose_chat(chat)
        self._requests: list[list[list[Instance]]] = [[] for _ in self.parts]  # of few-shot prompts
        self._samples: dict[int, Sample] = {}
        self._answers: dict[tuple[int, int], items.Answer] = {}
        self._making = threading.RLock()
        for p, i in self._first(len(self.parts)):
            items.refuse_unlabelled(self.parts[p], self._docs[p][i], self._answer(p, i))
        for part in self.parts:
            part.set_fewshot_seed(config.fewshot_seed)

    def bind(self, model: "LoadedModel") -> "Task":
        """This task with the model's chat template if one is wanted; raises UserError if its tokenizer has none."""
        if not self._chat_on:
            return self
        return Task(self.config, (model.tokenizer, model.name))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, key: int | str) -> Sample: ...
    @overload
    def __getitem__(self, key: slice) -> list[Sample]: ...
    def __getitem__(self, key: int | str | slice) -> Sample | list[Sample]:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        if isinstance(key, str):
            key = self._position(key)
        position = range(len(self))[key]
        with self._making:
            if position not in self._samples:
                _add(self._samples, position, self._make(position))
            return self._samples[position]

    @cached_property
    def ids(self) -> Ids:
        """The ids of the items in order: the data set's own where they are unique, else their places in the split."""
        prefixes = [f"{part.config.task}/" if len(self.parts) > 1 else "" for part in self.parts]
        return Ids(self._places, self._docs, prefixes)

    @cached_property
    def chance(self) -> float | None:
        """The accuracy of guessing among the options, None where there are none."""
        shares = []
        for choices, golds in (self._answer(p, i) for p, i in self._first()):
            if choices is None:
                return None
            shares.append(len(golds) / len(choices))
        return float(np.mean(shares))

    @cached_property
    def majority(self) -> float:
        """The accuracy of always giving the most frequent gold answer (for options: always the same position)."""
        golds = Counter(gold for p, i in self._first() for gold in set(self._answer(p, i)[1]))
        return golds.most_common(1)[0][1] / len(self)

    @property
    def version(self) -> str:
        """The version of the definition, as lm-eval reports it."""
        return "+".join(dict.fromkeys(str(part.VERSION) for part in self.parts))

    @cached_property
    def prompt_hash(self) -> str:
        """16 hex digits that change when the prompts do, whatever the model: the first three items' text and answers,
        and all settings that go into a prompt."""
        settings = replace(self.config, limit=None, metric=None, source="auto")
        described = [items.prompt_settings(part) for part in self.parts[:3]]
        shown = [(items.prompt_text(self.parts[p], self._docs[p][i]), self._answer(p, i)) for p, i in self._first(3)]
        return hex_digits(repr((settings, described, shown)), 16)

    @property
    def chat_template(self) -> bool:
        """Whether prompts go through the model's chat template."""
        return self._chat_on

    def prompt_length(self, sample_id: str) -> int:
        """Characters of the item's document, which stand for the length of its prompt."""
        part, index = self._place(self._position(sample_id))
        return len(str(self._docs[part][index]))

    def question(self, sample_id: str) -> str:
        """What the item asks, as reports show it."""
        part, index = self._place(self._position(sample_id))
        return items.question(self.parts[part], self._docs[part][index])

    def other_answers(self, sample: Sample, rng: np.random.Generator) -> Iterator[Sample]:
        """Other items of the same lm-eval task whose wanted text is not this one's: those whose answers are most alike in form
        first (`answer_form.unlikeness`), the equally alike in random order."""
        wanted, others = sample.answer_in(sample.gold), []
        for position in rng.permutation(min(len(self), OTHERS)).tolist():
            p, i = self._place(position)
            if p == sample.part and (golds := self._answer(p, i)[1]) and golds[0] != sample.gold:
                others.append((unlikeness(wanted, sample.answer_in(golds[0])), position))
        for _, position in sorted(others, key=lambda other: other[0]):
            yield self[position]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its configuration and tokenizer: the other side loads it from its own cache."""
        return Task, (self.config, self._bound)

    def _place(self, position: int) -> tuple[int, int]:
        """The part of an item, and its index there."""
        part, index = self._places[position].tolist()
        return part, index

    def _first(self, count: int | None = None) -> Iterator[tuple[int, int]]:
        """The places of the first so many items, or of all."""
        return map(self._place, range(len(self))[:count])

    def _position(self, sample_id: str) -> int:
        position = self.ids.position(sample_id)
        if position is None:
            raise KeyError(f"{self.name} has no item {sample_id} among its {len(self)}.")
        return position

    def _make(self, position: int) -> Sample:
        p, i = self._place(position)
        doc = self._docs[p][i]
        choices, golds = self._answer(p, i)
        items.refuse_unlabelled(self.parts[p], doc, (choices, golds))
        numbered = tuple(gold for gold in golds if isinstance(gold, int))
        question = items.question(self.parts[p], doc)
        gold = golds[0] if golds else None
        return Sample(self.ids[position], doc, self._requests_of(p, i), gold, numbered, choices, question, self, p)

    def _requests_of(self, p: int, i: int) -> list[Instance]:
        """The requests of an item. Few-shot examples are drawn from one stream, so items before it are made first, and kept."""
        made, part = self._requests[p], self.parts[p]
        if not part.config.num_fewshot:
            return self._construct(part, i, self._docs[p][i])
        for before in range(len(made), i + 1):
            made.append(self._construct(part, before, self._docs[p][before]))
        return made[i]

    def _construct(self, part: Any, i: int, doc: dict[str, Any]) -> list[Instance]:
        if self._chat_on and self._chat is None:
            raise RuntimeError(
                f"{self.name} wants a chat template: call task.bind(model), or load_task(..., model=model)."
            )
        with quiet():
            context = part.fewshot_context(
                doc,
                num_fewshot=part.config.num_fewshot or 0,
                system_instruction=self.config.system,
                apply_chat_template=self._chat_on,
                fewshot_as_multiturn=self.config.fewshot_as_multiturn,
                chat_template=self._chat,
                gen_prefix=part.doc_to_prefix(doc),
            )
            made = part.construct_requests(
                doc=doc,
                ctx=context,
                metadata=(part.config.task, i, part.config.repeats),
                apply_chat_template=self._chat_on,
                chat_template=self._chat,
            )
        return made if isinstance(made, list) else [made]

    def _answer(self, p: int, i: int) -> items.Answer:
        """The options and right answers of an item (kept: lm-eval compiles its templates anew each time, 1 ms)."""
        answer = self._answers.get((p, i))
        if answer is None:
            answer = items.answer(self.parts[p], self._docs[p][i])
            _add(self._answers, (p, i), answer)
        return answer

    def _choose_chat(self, chat: tuple[Any, str] | None) -> tuple[bool, ChatTemplate | None]:
        """Whether a template is on, and the template once the model is known; "auto", which protocols of ours say in
        their metadata, turns it on for tokenizers that have one."""
        wanted = self.config.chat_template
        if wanted is None:
            wanted = (self.parts[0].config.metadata or {}).get("chat_template", False)
        if wanted == "auto":
            wanted = chat is None or bool(getattr(chat[0], "chat_template", None))
        if not wanted:
            return False, None
        return True, None if chat is None else chat_template_of(chat[0], wanted, chat[1])


def _add(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Keeps a value with at most `KEPT` others, however many items there are."""
    if len(kept) >= KEPT:
        kept.clear()
    kept[key] = value
