"""The data of our own protocols, named by the YAML files in `protocols/`.

The data sets are lm-eval's `custom_dataset` functions: it passes a task's `metadata` and `dataset_kwargs` as keywords,
so each takes more than it needs.
"""

import hashlib
from typing import Any

import datasets

from cola_search.tasks import offline
from cola_search.tasks.grading import last_box

Splits = dict[str, datasets.Dataset]


def math_by_level(level: int, **_: object) -> Splits:
    """MATH's test items of one difficulty level, 1 to 5, with `answer` out of the last box of the solution.

    `test` is all of them; `calibration` (a fifth, by a hash of the id) and `heldout` (the rest) do not overlap. The
    order follows a hash of the id.
    """
    subjects = [offline.split_of("EleutherAI/hendrycks_math", s, "test") for s in offline.MATH_SUBJECTS]
    of_level = [s.select([i for i, at in enumerate(s["level"][:]) if at == f"Level {level}"]) for s in subjects]
    rows = [{**row, "answer": last_box(row["solution"])} for subject in of_level for row in subject]
    rows.sort(key=lambda row: _digest(row["id"]))  # the subjects mixed, so that the first items are a fair draw
    calibration = [row for row in rows if _is_calibration(row["id"])]
    heldout = [row for row in rows if not _is_calibration(row["id"])]
    made = {"test": rows, "calibration": calibration, "heldout": heldout}
    return {name: datasets.Dataset.from_list(part) for name, part in made.items()}


def basic_skills(skill: str, **_: object) -> Splits:
    """Items of one of Ai2's basic skills: `question`, `choices`, `gold` (index) and `answer` (the text of the gold)."""
    rows = offline.split_of("ai2/basic_skills", skill, "validation")
    return {"validation": datasets.Dataset.from_list([{**row, "answer": row["choices"][row["gold"]]} for row in rows])}


def medqa(**_: object) -> Splits:
    """MedQA (USMLE, English, https://arxiv.org/abs/2009.13081) with its five options: `question`, `choices`, `gold`."""
    return {"test": offline.split_of("ai2/medqa_en", None, "test")}


def mixed(dataset: datasets.Dataset) -> datasets.Dataset:
    """The items in the order of a hash of their questions, each with its place in the original order as its `id`."""
    order = sorted(range(len(dataset)), key=[_digest(text) for text in dataset["question"][:]].__getitem__)
    return dataset.add_column("id", [str(i) for i in range(len(dataset))]).select(order)  # type: ignore[call-arg]


def arc_letters(doc: dict[str, Any]) -> list[str]:
    """The letters of an ARC item's options by position, whatever the item itself calls them (some say 1 to 4)."""
    return list("ABCDE"[: len(doc["choices"]["text"])])


def arc_gold(doc: dict[str, Any]) -> int:
    """The index of an ARC item's right option."""
    return int(doc["choices"]["label"].index(doc["answerKey"]))


def _is_calibration(id_: str) -> bool:
    return _digest(id_) % 5 == 0


def _digest(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
