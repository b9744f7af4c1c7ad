"""Runs beside each other."""

import json
import re
from pathlib import Path

import pytest
from report_fixture import make_record, synthetic_records, write_run

from cola_search.errors import UserError
from cola_search.records import Record
from cola_search.report.compare import differences, load_run, run_names, what_differs, write_comparison

FULL = ("0-5", 1, 0.5, 6.0)
WRONG = ("0-5", 0, -0.5, 6.0)


def run_of(folder: Path, records: list[Record]):
    return load_run(write_run(folder, records), folder.name)


def page_data(path: Path) -> dict:
    found = re.search(r'id="page-data">(.*?)</script>', path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_fixes_are_paired_over_the_samples_that_both_bases_got_wrong(tmp_path):
    ours = [
        make_record("a", [WRONG], best="0-4"),
        make_record("b", [WRONG]),
        make_record("c", [FULL]),
        make_record("d", [WRONG]),
    ]
    theirs = [make_record("a", [WRONG]), make_record("b", [WRONG]), make_record("c", [WRONG]), make_record("d", [FULL])]
    change = differences(run_of(tmp_path / "ours", ours), run_of(tmp_path / "theirs", theirs))["fixed"]
    assert (change["of"], change["difference"], change["paired"]) == (2, 0.5, True)


def test_layers_saved_are_compared_sample_by_sample(tmp_path):
    ours = [make_record(name, [FULL], best="0-1") for name in "abc"]
    theirs = [make_record(name, [FULL], best="0-3") for name in "abc"]
    change = differences(run_of(tmp_path / "ours", ours), run_of(tmp_path / "theirs", theirs))["saved"]
    assert change == {"difference": 2.0, "low": None, "high": None, "of": 3, "paired": True}


def test_changes_that_differ_have_the_t_interval(tmp_path):
    ours = [make_record(name, [FULL], best=best) for name, best in (("a", "0-1"), ("b", "0-2"), ("c", "0-3"))]
    theirs = [make_record(name, [FULL], best="0-3") for name in "abc"]
    change = differences(run_of(tmp_path / "ours", ours), run_of(tmp_path / "theirs", theirs))["saved"]
    assert change["difference"] == 1.0
    assert change["low"] == pytest.approx(1 - 4.303 / 3**0.5, abs=1e-3)  # t of 2 degrees, s = 1


def test_a_sample_that_failed_in_one_run_is_not_paired(tmp_path):
    ours = [make_record("a", [FULL], best="0-5"), make_record("b", [FULL], best="0-5", error="out of memory")]
    theirs = [make_record("a", [FULL], best="0-5"), make_record("b", [FULL], best="0-5")]
    change = differences(run_of(tmp_path / "ours", ours), run_of(tmp_path / "theirs", theirs))
    assert change["found"]["of"] == 1


def test_runs_without_shared_samples_are_compared_unpaired(tmp_path):
    ours = run_of(tmp_path / "ours", synthetic_records(20, seed=1, task="arc_easy"))
    theirs = run_of(tmp_path / "theirs", synthetic_records(20, seed=2, task="boolq"))
    change = differences(ours, theirs)
    assert not change["base"]["paired"] and not change["saved"]["paired"]
    assert change["saved"]["difference"] == pytest.approx(
        ours.summary.layers_saved.mean - theirs.summary.layers_saved.mean
    )


def test_items_of_two_splits_with_the_same_id_are_not_paired(tmp_path):
    ours = [make_record("0", [FULL], best="0-4")]
    other = write_run(tmp_path / "theirs", ours)
    question = json.dumps(ours[0].question)
    line = (other / "records.jsonl").read_text().replace(f'"question":{question}', '"question":"Another one?"')
    (other / "records.jsonl").write_text(line)
    change = differences(run_of(tmp_path / "ours", ours), load_run(other, "theirs"))
    assert not change["base"]["paired"]


def test_the_same_sample_ids_in_two_tasks_are_not_the_same_samples(tmp_path):
    ours = [make_record("a", [FULL], best="0-4")]
    other = write_run(tmp_path / "theirs", ours)
    line = (other / "records.jsonl").read_text().replace('"task":"toy"', '"task":"other"')
    (other / "records.jsonl").write_text(line)
    assert not differences(run_of(tmp_path / "ours", ours), load_run(other, "theirs"))["base"]["paired"]


def test_only_settings_that_differ_and_can_change_a_record_are_named():
    settings = [{"search.c": 1, "seed": 0, "run_dir": "a"}, {"search.c": 2, "seed": 0, "run_dir": "b"}, {"seed": 0}]
    assert what_differs(settings) == ["search.c=1", "search.c=2", "search.c=None"]


def test_runs_with_the_same_folder_name_are_told_apart(tmp_path):
    folders = [tmp_path / "x" / "run", tmp_path / "y" / "run"]
    assert run_names(folders) == [str(Path("x", "run")), str(Path("y", "run"))]


def test_a_run_that_is_given_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="twice"):
        run_names([tmp_path, tmp_path / "."])


def test_the_page_has_one_row_a_run_and_differences_for_all_but_the_first(tmp_path):
    folders = [
        write_run(tmp_path / name, synthetic_records(12, evaluations=budget)) for name, budget in (("a", 30), ("b", 10))
    ]
    (folders[0] / "config.yaml").write_text("search: {simulations: 30}\n")
    (folders[1] / "config.yaml").write_text("search: {simulations: 10}\n")
    first, second = page_data(write_comparison(folders, tmp_path / "comparison.html"))["runs"]
    assert (first["name"], first["settings"], first["differences"]) == ("a", "search.simulations=30", None)
    assert second["shared"] == 12 and second["differences"]["base"]["paired"]


def test_a_job_of_a_sweep_over_local_models_is_named_by_its_model(tmp_path):
    folders = [write_run(tmp_path / f"model=.-{name},seed=0", synthetic_records(2)) for name in ("m_a", "m_b")]
    for folder, name in zip(folders, ("m_a", "m_b"), strict=True):
        (folder / "config.yaml").write_text(f"model: {{name: {name}}}\nseed: 0\n")
    page = page_data(write_comparison(folders, tmp_path / "comparison.html"))
    assert [run["name"] for run in page["runs"]] == ["model=m_a,seed=0", "model=m_b,seed=0"]


def test_a_config_that_cannot_be_read_is_named_in_the_refusal(tmp_path):
    folders = [write_run(tmp_path / name, synthetic_records(2)) for name in "ab"]
    (folders[0] / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml"):
        write_comparison(folders, tmp_path / "comparison.html")
