"""The command cola-report."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_fixture import synthetic_records, write_run
from test_report_compare import page_data

from cola_search.report import cli
from cola_search.report.cli import EXPORTS, expand, main


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_run(tmp_path / "sweep" / name, synthetic_records(4, evaluations=10))
    return tmp_path / "sweep"


def test_one_run_gets_its_report_and_no_comparison(sweep, capsys):
    assert main([str(sweep / "a")]) == 0
    assert capsys.readouterr().out.split() == [str(sweep / "a" / "report.html")]
    assert not (sweep / "comparison.html").exists()


def test_several_runs_get_a_comparison_in_the_folder_that_holds_them(sweep):
    assert main([str(sweep / "a"), str(sweep / "b")]) == 0
    assert (sweep / "comparison.html").is_file() and (sweep / "b" / "report.html").is_file()


def test_a_reader_that_left_does_not_keep_the_comparison_from_being_written(sweep, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unheard:
        monkeypatch.setattr(sys, "stdout", unheard)
        assert main([str(sweep)]) == 0
    assert (sweep / "comparison.html").is_file() and not capsys.readouterr().err


def test_ctrl_c_is_no_crash(sweep, monkeypatch, capsys):
    def interrupted(runs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "expand", interrupted)
    assert main([str(sweep)]) == 130
    assert capsys.readouterr().err == "cola-report: stopped.\n"


def test_a_folder_of_runs_stands_for_its_runs(sweep):
    assert main([str(sweep), "--out", str(sweep.parent / "all.html")]) == 0
    assert (sweep.parent / "all.html").is_file()


def test_a_job_of_a_sweep_that_left_no_record_is_compared_with_nothing(sweep):
    runs = expand([sweep])
    failed = sweep / "0"
    failed.mkdir()
    (failed / "records.jsonl").touch()
    assert expand([sweep]) == runs
    assert expand([failed]) == [failed]


@pytest.mark.parametrize("kind", sorted(EXPORTS))
def test_an_export_is_written_into_the_run_and_says_its_counts(sweep, capsys, kind):
    assert main([str(sweep / "a"), "--export", kind]) == 0
    assert (sweep / "a" / EXPORTS[kind]).is_file()
    assert "4 samples" in capsys.readouterr().out or kind == "drllm"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "not a folder"),
        (["empty"], "no records.jsonl"),
        (["sweep/a", "--out", "x.html"], "--out"),
        (["sweep", "--export", "polar", "--out", "x.json"], "--out"),
        (["sweep/a", "sweep/a"], "twice"),
        (["sweep/a", "--export", "polar", "--out", "nowhere/x.json"], "nowhere"),
        (["sweep/a", "--export", "parquet", "--out", "nowhere/x.parquet"], "cola-report: nowhere/x.parquet"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_code_2(sweep, capsys, monkeypatch, arguments, reason):
    monkeypatch.chdir(sweep.parent)
    Path("empty").mkdir()
    assert main(arguments) == 2
    assert not list(Path("sweep").rglob("report.html"))
    error = capsys.readouterr().err
    assert error.startswith("cola-report: ") and error.count("\n") == 1 and reason in error


def damage(run: Path) -> None:
    path = run / "records.jsonl"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first[:40]}\n{rest}")


@pytest.mark.parametrize("damaged", ["a", "c"])
def test_of_several_runs_one_with_a_damaged_record_file_is_named_and_the_others_are_reported(sweep, capsys, damaged):
    """Also if it is the one that the others would be compared with: the page names the one that they are compared with."""
    write_run(sweep / "c", synthetic_records(4, evaluations=10))
    damage(sweep / damaged)
    assert main([str(sweep)]) == 2
    told = capsys.readouterr()
    good = sorted({"a", "b", "c"} - {damaged})
    assert told.out.split() == [*(str(sweep / name / "report.html") for name in good), str(sweep / "comparison.html")]
    assert told.err.count("\n") == 1 and told.err.startswith(f"cola-report: {sweep / damaged} is left out: ")
    assert f"{sweep / damaged / 'records.jsonl'}: line 1 is damaged" in told.err and "remove it by hand" in told.err
    page = page_data(sweep / "comparison.html")
    assert [run["name"] for run in page["runs"]] == good and page["reference"] == good[0]
    assert len(page["left_out"]) == 1 and page["left_out"][0].startswith(f"{damaged}: ")


def test_where_only_one_run_can_be_read_nothing_is_compared_and_that_is_told(sweep, capsys):
    damage(sweep / "b")
    assert main([str(sweep)]) == 2
    told = capsys.readouterr()
    assert told.out.split() == [str(sweep / "a" / "report.html")] and not (sweep / "comparison.html").exists()
    assert "nothing to compare" in told.err


def test_a_single_run_with_a_damaged_record_file_is_refused(sweep, capsys):
    damage(sweep / "a")
    assert main([str(sweep / "a")]) == 2
    assert capsys.readouterr().err.startswith(f"cola-report: {sweep / 'a' / 'records.jsonl'}: line 1 is damaged")


def test_an_export_of_several_runs_leaves_out_the_damaged_one(sweep, capsys):
    damage(sweep / "a")
    assert main([str(sweep), "--export", "polar"]) == 2
    assert (sweep / "b" / EXPORTS["polar"]).is_file() and not (sweep / "a" / EXPORTS["polar"]).exists()
    assert f"{sweep / 'a'} is left out: " in capsys.readouterr().err


def test_a_full_disk_which_names_no_file_is_told_with_the_file(sweep, capsys, monkeypatch):
    def full(records, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cli, "_writer", lambda kind: full)
    assert main([str(sweep / "a"), "--export", "polar"]) == 2
    assert f"{sweep / 'a' / EXPORTS['polar']} cannot be read or written (No space left" in capsys.readouterr().err


def test_the_command_imports_neither_torch_nor_ray_nor_hydra(sweep):
    code = (
        "import sys\n"
        "from cola_search.report.cli import main\n"
        f"assert main([{str(sweep)!r}]) == 0\n"
        "assert not {'torch', 'ray', 'hydra', 'transformers', 'wandb'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
