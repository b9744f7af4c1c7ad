"""An item with its options in another order, where its prompt lists them."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance

from cola_search.tasks.sample import Sample

Doc = dict[str, Any]
_LABELS = ("label", "labels", "key", "keys")  # columns that hold the options' letters, which stay where they are
_REFERS = re.compile(r"\b(?:the above|[A-E1-5] (?:and|or|nor) [A-E1-5])\b")  # "None of the above", "Both A and C"


class NotListed(ValueError):
    """The options of an item cannot be put in another order; says why."""


def orders(choices: Sequence[str] | None, times: int, rng: np.random.Generator) -> list[list[int]]:
    """Up to `times` distinct orders of the options, none of them the order that they have. Raises NotListed for no options."""
    if not choices:
        raise NotListed("it has no options")
    options = len(choices)
    found: dict[tuple[int, ...], None] = {}
    possible = math.factorial(min(options, 12)) - 1
    while len(found) < min(times, possible):
        order = tuple(rng.permutation(options).tolist())
        if order != tuple(range(options)):
            found[order] = None
    return [list(order) for order in found]


def reorder(sample: Sample, order: Sequence[int]) -> Sample:
    """The item with option `order[i]` in place i; what answers it right is the option that was right before.

    The item's own part of the prompt is written anew by the task's definition, and all around it (examples, chat
    template) stays. Raises NotListed if the prompt does not list the options, or if they speak of one another.
    """
    if sample.choices is None:
        raise NotListed("it has no options")
    part = sample.task.parts[sample.part]
    old = part.doc_to_text(sample.doc)
    for doc, texts in _reordered(sample.doc, order):
        if not isinstance(old, str) or not _in_order(old, texts):
            continue
        if any(_REFERS.search(text) for text in texts):
            raise NotListed("its options speak of one another")
        new = part.doc_to_text(doc)
        choices = [str(choice) for choice in part.doc_to_choice(doc)]
        if new != old and set(choices) == set(sample.choices):
            return _rewritten(sample, doc, choices, (old.strip(), new.strip()), order)
    raise NotListed("its prompt does not list the options")


def _rewritten(sample: Sample, doc: Doc, choices: list[str], text: tuple[str, str], order: Sequence[int]) -> Sample:
    """The item with the first text of its prompts, the last time that it stands there, replaced by the second."""
    moved = choices != sample.choices  # the options are scored as texts, and not by letters that stay in place
    requests = []
    for place, request in enumerate(sample.requests):
        block, option = divmod(place, len(choices))
        origin = sample.requests[block * len(choices) + order[option]] if moved else request
        requests.append(_request(request, origin, doc, text))
    golds = tuple(order.index(gold) for gold in sample.golds)
    return replace(
        sample,
        id=f"{sample.id}/order-{''.join(map(str, order))}",
        doc=doc,
        requests=requests,
        gold=golds[0],
        golds=golds,
        choices=choices,
        reordered=True,
    )


def _request(request: Instance, origin: Instance, doc: Doc, text: tuple[str, str]) -> Instance:
    prompt = origin.args[0]
    before, found, after = prompt.rpartition(text[0])
    if prompt and not found:
        raise NotListed("its prompt is not the definition's text")
    return replace(request, doc=doc, arguments=(before + (text[1] if found else "") + after, *origin.args[1:]))


def _in_order(prompt: str, texts: Sequence[str]) -> bool:
    """Whether the prompt lists these texts one after the other."""
    place = 0
    for text in texts:
        found = prompt.find(text.strip(), place)
        if found < 0:
            return False
        place = found + len(text.strip())
    return True


def _reordered(doc: Doc, order: Sequence[int]) -> Iterator[tuple[Doc, list[str]]]:
    """For each column of the doc that may hold its options, or set of columns: the doc with them reordered, and their texts."""
    for keys in _siblings(doc, len(order)):
        listed = [str(doc[key]) for key in keys]
        yield {**doc, **dict(zip(keys, (listed[i] for i in order), strict=True))}, listed
    for key, value in doc.items():
        if (texts := _options(value, len(order))) is not None and key not in _LABELS:
            yield {**doc, key: _permuted(value, texts, order)}, texts
        elif isinstance(value, dict):
            for changed, texts in _reordered(value, order):
                yield {**doc, key: changed}, texts


def _siblings(doc: Doc, count: int) -> Iterator[list[str]]:
    """Columns that may hold an option each: their names differ in the last letter alone, as in opa, opb, opc, opd."""
    by_stem: dict[str, list[str]] = {}
    for key in doc:
        by_stem.setdefault(key[:-1], []).append(key)
    for keys in by_stem.values():
        if _options([doc[key] for key in keys], count) is not None:
            yield keys


def _options(value: Any, count: int) -> list[str] | None:
    texts = list(value.values()) if isinstance(value, dict) else value
    fits = isinstance(texts, list) and len(texts) == count and all(isinstance(text, str) for text in texts)
    return texts if fits and len(set(texts)) == count else None


def _permuted(value: Any, texts: list[str], order: Sequence[int]) -> Any:
    moved = [texts[i] for i in order]
    return dict(zip(value, moved, strict=True)) if isinstance(value, dict) else moved
