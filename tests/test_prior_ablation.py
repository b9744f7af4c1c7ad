"""experiments/prior_ablation.py: its forms, its figures, and both stages on a tiny model."""

import json
import math
import sys
from typing import Any

import numpy as np
import prior_ablation as run
import prior_ablation_tables as tables
import prior_forms as forms
import pytest
import torch

from cola_search.model.loading import LoadedModel
from cola_search.model.voids import find_voids
from cola_search.report.budget_curves import budget_curves


def row(form: str, shortest: list[list[int]], base: list[int], **changes: Any) -> dict[str, Any]:
    known = {"model": "m", "task": "t", "search": "partial", "seed": 0, "num_layers": 10, "grid": [10, 20]}
    costs = {"first_fix": [None] * len(base), "first_shorter": [None] * len(base)}
    return {**known, **costs, "form": form, "shortest": shortest, "base": base, **changes}


def test_the_same_watch_shows_voids_angles_and_updates(tiny_model: LoadedModel):
    watch = forms.MoveRecorder()
    watch.start({})
    states = [torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[4.0, 3.0]]]), torch.tensor([[[8.0, 6.0]]])]
    for layer in range(2):
        watch.layer(layer, states[layer], states[layer + 1])
    moves = forms.Moves.of(watch, 1)
    assert moves.norms.tolist() == [[5.0, 5.0, 10.0]]
    assert moves.cosines[0] == pytest.approx([0.96, 1.0])
    assert moves.updates[0] == pytest.approx([math.sqrt(2) / 5, 1.0])
    cell = {"model": "m", "task": "t"}
    assert forms.skip_scores("angle", [moves], [None], cell)[0].tolist() == [0.0, 1.0]
    assert forms.skip_scores("norm", [moves], [None], cell)[0].tolist() == [1.0, 0.0]
    shares = forms.skip_scores("voids@0.8", [moves], [None], cell)[0]
    assert (forms.skip_scores("reverse@0.8", [moves], [None], cell)[0] == 1 - shares).all()


def test_equal_values_share_their_rank():
    assert forms.ranks(np.array([0.5, 0.1, 0.5, 0.9])).tolist() == [0.5, 0.0, 0.5, 1.0]


def test_an_item_gains_the_share_of_layers_saved_or_its_fix():
    one = row("uniform", [[10, 5], [0, 12]], [1, 0])
    assert tables.gain(one).tolist() == [[0.0, 0.5], [0.0, 1.0]]
    np.testing.assert_array_equal(tables.saved(one), [[0, 5], [np.nan, np.nan]])
    np.testing.assert_array_equal(tables.fixed(one), [[np.nan, np.nan], [0, 1]])


def test_the_form_with_the_highest_gain_is_chosen_among_those_that_are_not_reported_anyway():
    rows = [row(form, [[length, length]], [1]) for form, length in (("uniform", 1), ("rank", 4), ("norm", 6))]
    assert tables.chosen(rows, ("uniform",)) == {"partial": "rank"}


def test_a_median_counts_what_never_happened():
    seeds = [row("uniform", [[0, 0]] * 3, [0, 0, 1], first_fix=[7, fix, 9]) for fix in (None, None, 30)]
    values = tables.over_seeds([tables.first(one, "first_fix") for one in seeds], tables._median)
    np.testing.assert_array_equal(values, [7, math.inf, math.nan])
    assert tables.median_band(np.array([7.0, 9.0, math.inf, math.nan]))[1] == 9
    assert all(map(math.isnan, tables.median_band(np.array([math.nan]))))


def test_differences_to_uniform_are_paired_item_by_item():
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, 10, size=(40, 1)).astype(float)
    low, mean, high = tables.mean_band(uniform + 1 - uniform)
    assert (low, mean, high) == (1, 1, 1)
    told = tables.by_cost({"uniform": uniform, "voids": uniform + 1}, {"grid": [60]})
    assert "[+1.00: +1.00 to +1.00]" in told


def test_curves_leave_out_what_has_no_values():
    nothing = np.full(2, np.nan)
    bands = {"uniform": (np.zeros(2), np.ones(2), np.full(2, 2.0)), "voids": (nothing, nothing, nothing)}
    drawn = budget_curves({"saved": ([60, 120], bands)})
    assert drawn.count("<polyline") == 1 and drawn.count("<polygon") == 1 and "voids" in drawn


def test_the_axis_of_curves_ends_at_a_round_number():
    band = (np.array([0.2, 0.5]), np.array([0.4, 0.7]), np.array([0.5, 0.878]))
    assert [
        f">{tick}</text>" in budget_curves({"fixed": ([60, 120], {"a": band})}) for tick in ("1", "0.5", "0.878")
    ] == [
        True,
        True,
        False,
    ]


def test_both_stages_on_a_tiny_model_give_tables_and_curves(tiny_folder, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(forms, "CALIBRATION", 2)
    monkeypatch.setattr(run, "GRID", (6, 24))
    out = tmp_path / "rows.jsonl"
    names = ["uniform", "voids@0.8", "rank@0.8", "mean@0.8", "angle"]
    words = ["--models", str(tiny_folder), "--tasks", "arc_easy", "--searches", "partial", "--choose", "2"]
    words += [
        "--report",
        "3",
        "--seeds",
        "2",
        "--budget",
        "24",
        "--in-flight",
        "2",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    words += ["--forms", *names]
    monkeypatch.setattr(sys, "argv", ["prior_ablation.py", *words, "--out", str(out)])
    run.main()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    first = [one for one in rows if one["first"] == 0]
    assert [one["form"] for one in first] == names and len(rows) - len(first) == 4 * 2
    assert all(len(one["base"]) == one["items"] and len(one["shortest"][0]) == 2 for one in rows)
    assert all(
        shortest[0] == 6 * base
        for one in first[:1]
        for shortest, base in zip(one["shortest"], one["base"], strict=True)
    )
    told = out.with_suffix(".md").read_text()
    assert "Chosen on items apart" in told and "## Stage 1" in told and out.with_suffix(".svg").exists()
    monkeypatch.setattr(run, "run_cells", lambda *_: pytest.fail("ran again"))
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--draw"])
    run.main()


def test_the_pass_of_answers_is_charged_before_the_search(tiny_folder, tiny_model):
    cell = {"model": str(tiny_folder), "task": "arc_easy", "search": "partial", "form": "rg@0.8", "seed": 0}
    task, scorer = run.scorer_of(cell["model"], "arc_easy", 1, 2)
    (outcome,) = run.searched(scorer, [task[0]], {**cell, "budget": 60})
    found = find_voids(tiny_model, task[0])
    assert outcome.chains[0][2] == pytest.approx(6 + 6 * (1 + len(found.rg) / len(found.pp)), rel=1e-3)
    assert forms.extra_cost("voids@0.8", [task[0]], cell) == [0.0]
