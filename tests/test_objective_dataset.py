"""objective=dataset from the command to dataset.json, on a tiny model and real items."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from objective_fakes import items, view
from report_fixture import make_record, write_run

from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel, load_model
from cola_search.objective import dataset
from cola_search.objective.board import Board
from cola_search.objective.dataset import Chosen, Contest, Verdict, choose, describe, run_dataset, weigh, winner
from cola_search.objective.items import split_items
from cola_search.objective.methods import METHODS, Method, find, learnt_table
from cola_search.objective.paired import Paired
from cola_search.objective_settings import ObjectiveSettings
from cola_search.settings import Settings
from cola_search.tasks.load import load_task

SAME, WORSE, BETTER = Paired(500, 300, 20, 20), Paired(500, 300, 10, 40), Paired(500, 300, 40, 10)


DEAR = "search.history=0"  # a tree that spends enough for the other methods to do something with as much


def tiny_settings(tiny_folder: Path, run_dir: Path, *more: str) -> Settings:
    return compose_settings([
        f"model='{tiny_folder}'", "model.dtype=float32", "objective=dataset", "objective.items=40", "objective.held_out=20",
        "objective.margin=0.3", "objective.first=8", "search.simulations=12", "search=edits", "engine=mixed",
        "engine.memory=50MB", "engine.samples_in_flight=16", "tracking=none", f"run_dir='{run_dir}'", *more,
    ])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dataset") / "run"


@pytest.fixture(scope="module")
def result(tiny_folder: Path, folder: Path) -> dict[str, Any]:
    return run_dataset(tiny_settings(tiny_folder, folder, "objective.export=true", DEAR), "a command")


def verdict(layers: int, selection: Paired) -> Verdict:
    return Verdict(Chain.identity(layers), SAME, selection)


def entrant(objective: ObjectiveSettings, method: str, *finalists: Verdict) -> Chosen:
    return Chosen(method, list(finalists), choose(finalists, objective), 0, 0.0)


def test_the_shortest_chain_that_is_not_worse_on_the_selection_items_is_chosen() -> None:
    objective = ObjectiveSettings(margin=0.05)
    assert choose([verdict(7, BETTER), verdict(6, SAME), verdict(5, WORSE)], objective) == verdict(6, SAME)
    assert choose([verdict(5, WORSE)], objective) is None


def test_a_hopeless_finalist_does_not_see_all_selection_items() -> None:
    seen, base = view(items(1000, [0.9, 0.0, 0.0, 0.015, *[0.0] * 4])), Chain.identity(8)
    hopeless, sound, near = (base.skip(layer, 1) for layer in (0, 1, 3))
    weighed = weigh(seen, [hopeless, sound, near], ObjectiveSettings(margin=0.02))
    assert [paired.n for paired in weighed] == [250, 1000, 1000]
    assert weighed[0].p_not_worse(0.02) > 0.84
    assert weigh(view(items(1000, [0.0, 0.4, *[0.0] * 6])), [sound], ObjectiveSettings(goal="better"))[0].n == 250


def test_a_chain_that_would_pass_alone_does_not_pass_among_many() -> None:
    lucky, objective = Paired(500, 300, 40, 32), ObjectiveSettings(margin=0.02)
    assert choose([verdict(5, lucky)], objective) == verdict(5, lucky)
    assert choose([verdict(5, lucky), verdict(6, WORSE), verdict(7, WORSE)], objective) is None


def test_the_most_accurate_chain_is_chosen_only_if_it_gains() -> None:
    objective = ObjectiveSettings(goal="better")
    assert choose([verdict(7, BETTER), verdict(6, SAME)], objective) == verdict(7, BETTER)
    assert choose([verdict(6, SAME), verdict(5, WORSE)], objective) is None


def test_for_better_a_chain_that_gains_by_luck_among_many_is_not_chosen() -> None:
    lucky, objective = Paired(500, 300, 40, 26), ObjectiveSettings(goal="better")
    assert lucky.p_better > 0.05 and choose([verdict(7, lucky)], objective) is None
    near = Paired(500, 300, 42, 26)
    assert choose([verdict(7, near)], objective) == verdict(7, near)
    assert choose([verdict(7, near), *(verdict(layers, SAME) for layers in range(2, 7))], objective) is None


def test_for_better_one_in_twenty_is_chosen_among_chains_that_are_like_the_base() -> None:
    rng, objective = np.random.default_rng(0), ObjectiveSettings(goal="better")
    gained = rng.binomial(100, 0.5, size=(500, 12))
    verdicts = [[verdict(i + 1, Paired(500, 250, b, 100 - b)) for i, b in enumerate(row)] for row in gained.tolist()]
    assert np.mean([choose(some, objective) is not None for some in verdicts]) <= 0.05


def test_a_longer_chain_than_the_base_cannot_win() -> None:
    objective = ObjectiveSettings(goal="better")
    sound = verdict(8, Paired(500, 300, 35, 12))
    entered = [entrant(objective, "repeat", verdict(9, BETTER)), entrant(objective, "tree", sound)]
    best = winner(entered, objective, longest=8)
    assert best is not None and (best.method, best.choice) == ("tree", sound)
    assert winner(entered[:1], objective, longest=8) is None


def test_a_choice_that_is_the_luckiest_of_many_methods_does_not_win() -> None:
    objective = ObjectiveSettings(margin=0.02)
    tree = entrant(objective, "tree", verdict(5, Paired(500, 300, 40, 32)))
    hopeless = [entrant(objective, f"method {n}", verdict(n, WORSE)) for n in (6, 7)]
    assert tree.choice is not None and not any(other.choice for other in hopeless)
    assert winner([tree], objective, longest=8) == tree
    assert winner([tree, *hopeless], objective, longest=8) is None


def test_what_wins_is_the_best_finalist_shown_among_those_of_all_methods_whatever_its_method_chose_alone() -> None:
    objective = ObjectiveSettings(margin=0.03)
    lucky, sound = verdict(5, Paired(500, 300, 40, 39)), verdict(6, SAME)
    others = entrant(objective, "random", verdict(7, WORSE)), entrant(objective, "greedy", sound)
    tree = entrant(objective, "tree", lucky, sound)
    assert tree.choice == lucky
    assert winner([others[0], tree, others[1]], objective, longest=8) == replace(tree, choice=sound)


def test_where_all_chains_of_all_methods_are_worse_by_the_margin_one_task_in_twenty_has_a_winner() -> None:
    rng, objective = np.random.default_rng(0), ObjectiveSettings(margin=0.02)

    def drawn(layers: int) -> Verdict:
        lost, gained, _ = rng.multinomial(1000, [0.05, 0.03, 0.92]).tolist()
        return verdict(layers, Paired(1000, 600, gained, lost))

    entered = ([entrant(objective, f"{m}", *map(drawn, range(1 + m, 97, 8))) for m in range(8)] for _ in range(150))
    assert np.mean([winner(some, objective, longest=100) is not None for some in entered]) <= 0.08


def test_every_method_is_in_the_table_with_what_it_spent(result: dict[str, Any]) -> None:
    assert [row["method"] for row in result["methods"]] == [
        "tree",
        "random",
        "greedy",
        "shortgpt",
        "voids",
        "block",
        "learnt",
    ]
    assert all(row["layer_executions"] > 0 for row in result["methods"])
    assert result["items"] == {"search": 20, "selection": 20, "held_out": 20}


def test_no_search_costs_more_than_that_of_the_tree_and_the_choice_comes_on_top(result: dict[str, Any]) -> None:
    tree = result["methods"][0]["search_layer_executions"]
    for row in result["methods"]:
        assert 0 < row["search_layer_executions"] <= tree + 1
        assert (row["search_layer_executions"] < row["layer_executions"]) == (row["finalists"] > 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_keeps_to_its_budget(method: Method, tiny_folder: Path, tiny_model: LoadedModel) -> None:
    settings = tiny_settings(tiny_folder, Path("unused"), "objective.goal=better", "search.simulations=200")
    contest = Contest(settings, tiny_model, split_items(settings.objective, settings.task, tiny_model))
    for budget in (80 * 6, 300 * 6):
        assert 0 < contest.enter(method, float(budget)).search_layer_executions <= budget


def test_what_is_reported_was_chosen_without_the_held_out_items(result: dict[str, Any]) -> None:
    for row in result["methods"]:
        if row["chain"] is not None:
            assert row["selection"]["not_worse"] and row["held_out"]["n"] == 20
            assert row["held_out"]["p_holm"] >= round(row["held_out"]["p_not_worse"], 6)
    chosen = [row for row in result["methods"] if row["method"] == result["chosen"]]
    assert chosen and chosen[0]["length"] == min(row["length"] for row in result["methods"] if row["chain"])


def test_the_front_is_scored_on_all_three_sets_with_one_chain_a_length(result: dict[str, Any]) -> None:
    front = result["front"]
    assert all(row["search"]["n"] == 20 and row["held_out"]["n"] == 20 for row in front)
    assert [row["length"] for row in front] == sorted({row["length"] for row in front})


def test_the_chosen_chain_is_a_checkpoint(result: dict[str, Any], folder: Path) -> None:
    (row,) = (row for row in result["methods"] if row["method"] == result["chosen"])
    assert load_model(str(folder / "checkpoint"), device="cpu").num_layers == row["length"]
    assert "held-out items | 20" in (folder / "checkpoint" / "README.md").read_text()


def test_the_same_command_again_scores_nothing_and_gives_the_same(
    result: dict[str, Any], tiny_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.jsonl")}
    again = run_dataset(tiny_settings(tiny_folder, folder, "objective.export=false", DEAR))
    assert {path.name: path.stat().st_size for path in folder.glob("*.jsonl")} == sizes
    assert again == result == json.loads((folder / "dataset.json").read_text())


def test_a_run_that_was_stopped_and_gone_on_with_gives_what_an_undisturbed_one_does(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (DEAR, "search.simulations=60", "search.max_layer_executions=600", "objective.baselines=false")
    whole, stopped = (
        tiny_settings(tiny_folder, tmp_path / name, *more, "engine.samples_in_flight=64") for name in "ab"
    )
    write, written = Board._write, []

    def writing(self: Board, before: Any) -> None:
        write(self, before)
        written.append(before)
        if len(written) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Board, "_write", writing)
        run_dataset(stopped)
    assert run_dataset(stopped) == run_dataset(whole)


def test_the_searches_of_single_items_cost_the_same_whatever_ran_before_and_are_counted(
    tiny_folder: Path, tiny_model: LoadedModel
) -> None:
    settings = tiny_settings(tiny_folder, Path("unused"))
    items = split_items(settings.objective, settings.task, tiny_model)
    fresh, used = (Contest(settings, tiny_model, items).lab for _ in range(2))
    find(used, "random")
    assert learnt_table(fresh, 1e5)[1:] == learnt_table(used, 1e5)[1:]
    found = find(fresh, "learnt", 1e5)
    assert found.evaluations > found.view.evaluations and found.layer_executions > found.view.layer_executions


def test_a_folder_of_other_items_is_refused(result: dict[str, Any], tiny_folder: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="another run_dir"):
        run_dataset(tiny_settings(tiny_folder, folder, "objective.items=30"))


def test_an_export_that_is_in_the_way_is_told_before_anything_is_loaded(
    result: dict[str, Any], tiny_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "load_model", lambda config: pytest.fail("loaded"))
    with pytest.raises(UserError, match=r"objective\.export"):
        run_dataset(tiny_settings(tiny_folder, folder, "objective.export=true"))


def test_a_prior_learnt_from_held_out_items_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tiny_folder, tmp_path / "run")
    item = load_task(settings.task, limit=1)[0]
    learnt = replace(make_record(item.id, [("0-5", 1, 0.5, 6.0)]), question=item.question)
    records = write_run(tmp_path / "earlier", [learnt]) / "records.jsonl"
    with pytest.raises(UserError, match=r"prior\.records=.* holds 1 of the items"):
        run_dataset(tiny_settings(tiny_folder, tmp_path / "run", "prior=learnt", f"prior.records='{records}'"))


def test_too_few_items_for_the_margin_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective\.margin=0\.02: 20 search items are too few"):
        run_dataset(tiny_settings(tiny_folder, tmp_path, "objective.margin=0.02"))


def test_for_better_single_repeats_are_tried_and_no_other_chain_is_longer(
    tiny_folder: Path, tiny_model: LoadedModel
) -> None:
    settings = tiny_settings(tiny_folder, Path("unused"), "objective.goal=better")
    contest = Contest(settings, tiny_model, split_items(settings.objective, settings.task, tiny_model))
    repeats, tree = contest.enter("repeat"), contest.enter("tree")
    assert all(len(v.chain) > 6 for v in repeats.finalists) and all(len(v.chain) <= 6 for v in tree.finalists)


def test_a_comparison_is_described_with_counts_and_intervals() -> None:
    told = describe(SAME, 0.05)
    assert (told["right"], told["gained"], told["lost"], told["not_worse"]) == (300, 20, 20, True)
    assert told["difference"][0] == 0 and told["difference"][1] < 0 < told["difference"][2]
    assert replace(SAME, lost=21).right == 299


@pytest.mark.parametrize(
    "other", ["task.metric=acc_norm", "model.attn=eager", "engine.mode=stock", "engine.mix_samples=false"]
)
def test_a_folder_of_another_engine_or_metric_is_refused_by_the_key(
    result: dict[str, Any], tiny_folder: Path, folder: Path, other: str
) -> None:
    with pytest.raises(UserError, match=f"is of another {other.split('=')[0]}: choose another run_dir"):
        run_dataset(tiny_settings(tiny_folder, folder, other))


def test_what_nobody_could_judge_is_described_without_nan() -> None:
    told = json.loads(json.dumps(describe(Paired(0, 0, 0, 0), 0.02), allow_nan=False))
    assert told["accuracy"] == [None, None, None] and told["difference"] == [None, -1.0, 1.0]
