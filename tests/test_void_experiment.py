"""experiments/voids.py from its command line to its files, on a tiny model."""

import json
import sys
from pathlib import Path

import pytest
import voids as experiment


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, model: Path, *arguments: str) -> list[dict]:
    """Runs the script; the rows of its record file."""
    fixed = ["--models", str(model), "--items", "3", "--batch", "2", "--dtype", "float32", "--device", "cpu"]
    places = ["--records", str(folder / "rows.jsonl"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["voids.py", *fixed, *places, *arguments])
    experiment.main()
    lines = (folder / "rows.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_every_variant_of_every_item_is_recorded_once_and_tabled(monkeypatch, tmp_path, tiny_folder, capsys):
    arguments = ("--tasks", "arc_easy", "boolq", "--alphas", "0.4", "0.8", "--answer-tokens", "2")
    rows = run(monkeypatch, tmp_path, tiny_folder, *arguments)
    assert len(rows) == 2 * 3 * (1 + 2 * 2)
    report = json.loads((tmp_path / "out.json").read_text())
    assert len(report["cells"]) == 2 * 5 and report["provenance"]["command"].startswith("python experiments/voids.py")
    assert all(cell["accuracy"]["of"] == 3 and cell["rg"]["tokens"] > 0 for cell in report["cells"])
    assert (tmp_path / "out.md").read_text().count("| readout |") == 2
    assert (tmp_path / "out_readout_alpha.svg").exists()
    assert "arc_easy: no skip" in capsys.readouterr().out


def test_a_command_goes_on_where_another_stopped_with_the_same_result(monkeypatch, tmp_path, tiny_folder):
    arguments = ("--tasks", "arc_easy", "--answer-tokens", "0")
    whole = run(monkeypatch, tmp_path, tiny_folder, *arguments)
    records, table = tmp_path / "rows.jsonl", (tmp_path / "out.md").read_text()
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:4]) + lines[4][:20])
    again = run(monkeypatch, tmp_path, tiny_folder, *arguments)
    assert sorted(map(str, again)) == sorted(map(str, whole)) and (tmp_path / "out.md").read_text() == table


def test_a_finished_command_runs_no_model(monkeypatch, tmp_path, tiny_folder):
    arguments = ("--tasks", "arc_easy", "--answer-tokens", "0")
    rows = run(monkeypatch, tmp_path, tiny_folder, *arguments)
    monkeypatch.setattr(experiment, "run_batch", lambda *_: pytest.fail("ran again"))
    assert run(monkeypatch, tmp_path, tiny_folder, *arguments) == rows


def test_defects_of_the_released_evaluation_are_measurements_of_their_own(monkeypatch, tmp_path, tiny_folder):
    monkeypatch.setattr(experiment, "encode", _short(experiment.encode))
    arguments = ("--tasks", "void_mmlu", "--how", "readout", "--items", "1")  # the second is too long for the model
    run(monkeypatch, tmp_path, tiny_folder, *arguments)
    defects = ("--as-released", "sampling", "gold_last", "lost_first_token")
    rows = run(monkeypatch, tmp_path, tiny_folder, *arguments, *defects)
    assert len(rows) == 2 * 1 * 2
    assert {row["as_released"] for row in rows} == {"", "lost_first_token+sampling+gold_last seed 0"}


def _short(encode):
    """Answers of 3 tokens, to save time."""
    return lambda model, sample, tokens: encode(model, sample, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "arc_easy", "--as-released", "sampling"), "nothing is sampled"),
        (("--tasks", "boolq", "--as-released", "gold_last"), "gold_last"),
        (("--tasks", "no_such_task"), "no_such_task"),
    ],
)
def test_what_cannot_be_measured_is_refused(monkeypatch, tmp_path, tiny_folder, arguments, said):
    with pytest.raises(SystemExit, match=said):
        run(monkeypatch, tmp_path, tiny_folder, *arguments)
