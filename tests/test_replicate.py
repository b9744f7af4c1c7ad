"""experiments/replicate.py: which chains are tested once more, and on which items."""

import sys
from pathlib import Path
from typing import Any

import pytest
import replicate
from cells import RESULTS, read_rows

from cola_search.chain import Chain
from cola_search.model.loading import LoadedModel
from cola_search.objective.items import split_items, unseen_items
from cola_search.objective_settings import ObjectiveSettings
from cola_search.tasks.config import TaskConfig


def test_the_items_are_the_next_of_the_draw(tiny_model: LoadedModel) -> None:
    config = TaskConfig("arc_easy")
    settings = ObjectiveSettings(items=20, held_out=5)
    task, unseen = unseen_items(split_items(settings, config, tiny_model, 3), settings, config, tiny_model, 3, 10)
    longer = split_items(ObjectiveSettings(items=30, held_out=5, selection=1 / 3), config, tiny_model, 3)
    assert [sample.id for sample in unseen] == [sample.id for sample in longer.selection]
    assert task[unseen[0].id] == unseen[0]


def test_an_item_that_was_seen_under_another_id_is_left_out(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cola_search.objective import items

    settings, config = ObjectiveSettings(items=20, held_out=5), TaskConfig("arc_easy")
    used = split_items(settings, config, tiny_model)
    _, unseen = unseen_items(used, settings, config, tiny_model, 0, 10)
    twin = unseen[4].question
    content = items._content
    held_out = used.held_out[0]

    def repeating(sample: object) -> object:
        return content(held_out if sample.question == twin else sample)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(items, "_content", repeating)
    _, fewer = unseen_items(used, settings, config, tiny_model, 0, 10)
    assert [sample.id for sample in fewer] == [sample.id for sample in unseen if sample.question != twin]


def test_what_calibration_chose_is_tested_and_nothing_dearer() -> None:
    static, best = (read_rows(RESULTS / name) for name in ("static_chains.jsonl", "held_out.jsonl"))
    chosen = [*replicate._static(static), *replicate._best(best)]
    layers = {row["model"]: row["layers"] for row in (*static, *best)}
    assert {"shorter", "better"} == {cell["goal"] for cell in chosen}
    for cell in chosen:
        length = len(Chain.parse(cell["chain"]))
        assert length < layers[cell["model"]] or (cell["goal"] == "better" and length == layers[cell["model"]])


def test_a_finalist_that_gains_on_the_selection_items_is_tested_too_unless_luck_can_explain_it() -> None:
    def row(*gained: int, shortest: int = 20) -> dict[str, Any]:
        lengths = range(shortest, shortest + len(gained))
        counts = [[1000, 500, some, 20] for some in gained]
        front = [
            {"chain": f"0-{n - 1}", "length": n, "search": c, "selection": c}
            for n, c in zip(lengths, counts, strict=True)
        ]
        return {"layers": 30, "front": front}

    assert replicate.most_accurate([row(20, 50)]) == "0-20"
    assert replicate.most_accurate([row(20, 36)]) == "0-20"
    assert replicate.most_accurate([row(20, 36), row(20, 20, shortest=25)]) is None
    assert replicate.most_accurate([row(50, shortest=31)]) is None
    assert replicate.most_accurate([row()]) is None
    unsure = row(50, 70)
    unsure["front"][1]["selection"] = [
        1000,
        500,
        140,
        105,
    ]  # five points more than the first has, and p 0.01 before Holm
    assert replicate.most_accurate([unsure, row(20, 20, 20, shortest=25)]) == "0-19"


def test_a_cell_is_measured_once_and_its_table_tells_the_counts(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, tmp_path: Path
) -> None:
    cell = {"model": str(tiny_folder), "task": "arc_easy", "seed": 0, "goal": "shorter", "chain": "0 2", "drawn": 20}
    monkeypatch.setattr(replicate, "_static", lambda rows: [{**cell, "tested": 5}])
    monkeypatch.setattr(replicate, "_best", lambda rows: [{**cell, "goal": "better", "chain": "0 2 3 3", "tested": 5}])
    out = tmp_path / "rows.jsonl"
    monkeypatch.setattr(sys, "argv", f"replicate.py --items 12 --device cpu --threads 1 --out {out}".split())
    replicate.main()
    replicate.main()
    row, better = read_rows(out)
    n, base, gained, lost = row["counts"]
    assert n == 12 and 0 <= base <= 12 and lost <= base and gained <= 12 - base
    for plain, beside in better["fitted"].values():
        assert plain[0] == 12 and plain[1] == base and plain[1] + plain[2] - plain[3] == beside[1]
    assert f"| `0 2` | 2 of {row['layers']} | 12 | {base / 12:.1%} |" in out.with_suffix(".md").read_text()
