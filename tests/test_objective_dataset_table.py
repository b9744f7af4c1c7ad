"""What a person is told of one chain for a task."""

import io
from typing import Any

from rich.console import Console

from cola_search.objective.dataset import describe
from cola_search.objective.dataset_table import print_dataset
from cola_search.objective.paired import Paired


def costs(search: int, total: int) -> dict[str, int]:
    return {"search_layer_executions": search, "layer_executions": total}


def shown(p_holm: float, chosen: str | None = "tree", goal: str = "shorter") -> str:
    held_out = {**describe(Paired(1000, 600, 30, 25), 0.02), "p_holm": p_holm}
    found: dict[str, Any] = {"chain": "0-24", "length": 25, "selection": describe(Paired(500, 300, 9, 9), 0.02)}
    result = {
        "task": "arc_easy", "model": "smollm2", "layers": 30, "goal": goal, "margin": 0.02, "chosen": chosen,
        "calibration": "2000 items of the train split", "items": {"search": 1200, "selection": 800, "held_out": 1000},
        "base": {"right": 600, "of": 1000, "chance": 0.25, "majority": None},
        "methods": [
            {"method": "tree", **found, "held_out": held_out, **costs(98765, 123456)},
            {"method": "voids", "chain": None, "length": None, "selection": None, "held_out": None, **costs(60, 90)},
        ],
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=160)
    print_dataset(result, "FOLDER", console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_lengths_differences_with_intervals_and_costs() -> None:
    text = shown(0.004)
    assert "tree *" in text and "0-24" in text and "123,456" in text and "FOLDER" in text
    assert "+0.5 (-1.0 to +2.0)" in text
    assert "base on 1000 held-out items: 60.0% (chance 25.0%)" in text


def test_the_cost_of_the_search_stands_beside_that_of_all() -> None:
    text = shown(0.004)
    assert "98,765" in text and "123,456" in text and "cost: of search and choice" in text


def test_no_p_value_reads_as_zero() -> None:
    assert "<0.001" in shown(0.0004) and "0.000" not in shown(0.0004)


def test_a_method_without_a_chain_says_so() -> None:
    assert "no chain will do" in shown(0.004)
    text = " ".join(shown(0.004, chosen=None).split())
    assert (
        "800 selection items show to be not worse by 2 points or more: take the model as it is, or raise objective.items"
        in text
    )
    text = " ".join(shown(0.004, chosen=None, goal="better").split())
    assert "800 selection items show to be more accurate than the base: take the model as it is" in text


def test_not_worse_is_claimed_only_where_it_was_shown_and_with_its_margin() -> None:
    assert "tree: 25 of 30 layers (17% fewer); not worse than the base by 2 points or more on 1000" in shown(0.004)
    assert "not shown to be not worse than the base by 2 points or more on 1000" in shown(0.3)


def test_a_table_of_no_judged_items_is_printed_without_rates() -> None:
    told = {**describe(Paired(0, 0, 0, 0), 0.02), "p_holm": 1.0}
    judged = describe(Paired(5, 3, 1, 1), 0.02)
    row = {"method": "tree", "chain": "0-20", "length": 21, "selection": judged, "held_out": told, **costs(1, 2)}
    base = {"right": 0, "of": 0, "chance": None, "majority": None}
    sizes = {"search": 12, "selection": 8, "held_out": 10}
    result = {"task": "t", "model": "m", "layers": 30, "goal": "shorter", "margin": 0.02, "chosen": "tree",
              "calibration": "20 items", "items": sizes, "base": base, "methods": [row]}  # fmt: skip
    console = Console(record=True, width=160)
    print_dataset(result, "runs/x", console)
    assert "base on 0 held-out items: -" in console.export_text()
