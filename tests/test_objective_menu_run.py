"""objective=menu from its items to its result: choices, tables that are kept, records of earlier runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from record_fixture import record
from rich.console import Console

from cola_search import ModelScorer, load_task
from cola_search.errors import UserError
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.objective import candidates, menu_run, option_table
from cola_search.objective.items import Items
from cola_search.objective.menu_run import Study, recorded
from cola_search.objective.menu_table import print_menu
from cola_search.objective_settings import ObjectiveSettings
from cola_search.records import Evaluated
from cola_search.scoring import Work
from cola_search.search_settings import SearchSettings

ENGINE = EngineSettings(memory="50MB", samples_in_flight=4, mix_samples=True)


def study(model: LoadedModel, cache: Path) -> Study:
    calibration, held_out = load_task("arc_easy", split="train", limit=24), load_task("arc_easy", limit=10)
    items = Items(held_out, calibration[:12], calibration[12:], held_out[:], "24 items")
    objective = ObjectiveSettings(kind="menu", menu_size=3, searches=2, candidates=4, finalists=4, first=6)
    return Study(model, items, objective, SearchSettings(simulations=6, max_block=1), ENGINE, 0, cache)


def test_a_study_chooses_on_calibration_and_reports_every_arm(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu_run, "SHARES", (1.0,))
    lines: list[str] = []
    result = study(tiny_model, tmp_path).run(lines.append)
    json.dumps(result, allow_nan=False)
    assert result["counts"] == {"calibration": 24, "held_out": 10}
    assert result["cross_validated"] == {"items": 18, "unseen": True}
    assert result["head_cost"] > 0
    assert all(row["cost"] == 6 for row in result["rows"] if row["menu"] == "base")
    assert not any(row["chains"] for row in result["rows"] if row["menu"] == "exits" and row["budget"] == 6)
    assert result["chosen"]["budget"] <= 6
    assert all(
        row["cost"] <= row["budget"] + 1e-9 for row in result["rows"] if row["selector"] not in ("cascade", "routed")
    )
    calls = len(lines)
    again = study(tiny_model, tmp_path).run(lines.append)
    assert len(lines) < 2 * calls
    assert again == result and again["layer_executions"] > 0
    console = Console(record=True, width=160)
    print_menu(result, "runs/x", console)
    text = console.export_text()
    assert "cross-validated on 18 of them, on which no chain was found" in text
    assert "Calibration chooses" in text and "oracle" in text and text.rstrip().endswith("runs/x")


def test_where_most_items_were_searched_all_are_cross_validated_on_and_that_is_told(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu_run, "SHARES", (1.0,))
    few = study(tiny_model, tmp_path)
    result = replace(few, objective=replace(few.objective, searches=13)).run(lambda line: None)
    assert result["cross_validated"] == {"items": 24, "unseen": False}
    console = Console(record=True, width=160)
    print_menu(result, "runs/x", console)
    assert "all 24, also those on which chains were found: optimistic" in console.export_text()


def test_items_that_records_searched_judge_no_menu_whether_they_were_solved_or_not(
    tiny_model: LoadedModel, tmp_path: Path
) -> None:
    """The unsolved ones are those that the base and all searched chains have wrong: on them menus would look worse."""
    made = study(tiny_model, tmp_path)
    path = tmp_path / "records.jsonl"
    searched = {made.items.selection[3]: 1, made.items.selection[5]: 0}
    own = [
        replace(record(s.id, chains=[Evaluated("0-4", right, 0.5, 5.0)]), question=s.question, num_layers=6)
        for s, right in searched.items()
    ]
    path.write_text("".join(one.to_line() + "\n" for one in own))
    judges = replace(made, objective=replace(made.objective, records=str(path)))._judges()
    assert judges.tolist() == [i for i in range(6, 24) if i not in (12 + 3, 12 + 5)]


def test_a_record_file_without_calibration_items_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(record("a").to_line() + "\n")
    with pytest.raises(UserError, match="no solved calibration item"):
        recorded(path, load_task("arc_easy", limit=2)[:], 12)


def test_records_of_a_model_with_other_layers_are_refused(tmp_path: Path) -> None:
    (sample,) = load_task("arc_easy", limit=1)
    path = tmp_path / "records.jsonl"
    path.write_text(replace(record(sample.id), question=sample.question, num_layers=36).to_line() + "\n")
    with pytest.raises(UserError, match=r"objective\.records=.* of a model with 36 layers, this one has 30"):
        recorded(path, [sample], 30)


def test_a_missing_record_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective\.records=.* is not a file"):
        recorded(tmp_path / "none.jsonl", [], 12)


def test_a_study_that_is_stopped_in_a_table_goes_on_behind_its_last_block(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu_run, "SHARES", (1.0,))
    monkeypatch.setattr(option_table, "BLOCK", 100)
    scored, real = [], option_table.option_scores

    def scoring(scorer: ModelScorer, work: Work) -> list[option_table.Options]:
        scored.append([(sample.id, tuple(chains)) for sample, chains in work])
        if len(scored) == stop_at:
            raise KeyboardInterrupt
        return real(scorer, work)

    monkeypatch.setattr(option_table, "option_scores", scoring)
    lines: list[str] = []
    stop_at = 0
    whole = study(tiny_model, tmp_path / "whole").run(lines.append)
    blocks, stop_at = len(scored), len(scored) + 6
    with pytest.raises(KeyboardInterrupt):
        study(tiny_model, tmp_path / "stopped").run(lines.append)
    assert study(tiny_model, tmp_path / "stopped").run(lines.append) == whole
    assert scored[blocks:] == [*scored[:6], *scored[5:blocks]]
    assert all(path.suffix == ".npz" for path in (tmp_path / "stopped").iterdir())
    assert any("of 6 items scored with" in line for line in lines)


def test_a_study_that_is_stopped_in_its_searches_goes_on_behind_the_last_block_of_them(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu_run, "SHARES", (1.0,))
    monkeypatch.setattr(option_table, "BLOCK", 18)  # three searches of six simulations
    groups, real = [], candidates.run_searches

    def searching(scorer: ModelScorer, searches: list[tuple[Any, Any]]) -> None:
        groups.append([sample.id for sample, _ in searches])
        if len(groups) == stop_at:
            raise KeyboardInterrupt
        real(scorer, searches)

    monkeypatch.setattr(candidates, "run_searches", searching)
    lines: list[str] = []
    stop_at = 0

    def started(folder: str) -> dict[str, Any]:
        few = study(tiny_model, tmp_path / folder)
        return replace(few, objective=replace(few.objective, searches=7)).run(lines.append)

    whole = started("whole")
    assert [len(group) for group in groups] == [3, 3, 1]
    stop_at = 3 + 2
    with pytest.raises(KeyboardInterrupt):
        started("stopped")
    assert started("stopped") == whole
    assert groups[3:] == [groups[0], groups[1], groups[1], groups[2]]
    assert "3 of 7 items searched" in lines
    assert all(path.suffix == ".npz" for path in (tmp_path / "stopped").iterdir())


def test_tables_are_made_anew_for_other_records_in_the_same_file(tiny_model: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    made = study(tiny_model, tmp_path)
    made = replace(made, objective=replace(made.objective, records=str(path)))
    path.write_text(record("a").to_line() + "\n")
    first = made._key()
    assert made._key() == first
    path.write_text(record("b").to_line() + "\n")
    assert made._key() != first


def test_tables_are_made_anew_for_another_engine_attention_or_metric(tiny_model: LoadedModel, tmp_path: Path) -> None:
    made = study(tiny_model, tmp_path)
    eager = replace(tiny_model, config=replace(tiny_model.config, attn="eager"))
    others = [
        replace(made, engine=replace(ENGINE, mode="stock")),
        replace(made, engine=replace(ENGINE, mix_samples=False)),
    ]
    assert len({one._key() for one in (made, *others, replace(made, model=eager))}) == 4
    normed = load_task("arc_easy", limit=10, metric="acc_norm")
    assert replace(made, items=replace(made.items, task=normed))._key() != made._key()
