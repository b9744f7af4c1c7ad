"""The command: what it runs, what it says, and with which exit code; sweeps; installed and as a module."""

import json
import logging
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from record_fixture import record

from cola_search import cli, sweep
from cola_search.cli import main
from cola_search.command import read_command
from cola_search.errors import FolderRefused, UserError
from cola_search.report.summary import Summary, summarize, write_summary
from cola_search.settings import Settings

Run = Callable[[Settings], None]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Hydra configures the root logger for each job."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of every job that ran, each of them writing a summary; `runs.behave` is called first. No model."""
    seen = _Runs()

    def run(settings: Settings, command: str = "") -> Summary:
        seen.append(settings)
        seen.commands.append(command)
        seen.behave(settings)
        summary = summarize([record(best=9)])
        write_summary(Path(settings.run_dir) / "summary.json", summary)
        return summary

    fake = types.ModuleType("cola_search.run")
    fake.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cola_search.run", fake)
    monkeypatch.chdir(tmp_path)
    return seen


class _Runs(list[Settings]):
    def __init__(self) -> None:
        super().__init__()
        self.commands: list[str] = []
        self.behave: Run = lambda settings: None


def test_a_command_runs_with_its_settings_in_its_folder(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["seed=7", "run_dir=out", "tracking=none"]) == 0
    (settings,) = runs
    assert (settings.seed, settings.run_dir, settings.tracking.group) == (7, "out", None)
    assert runs.commands == ["cola-search seed=7 run_dir=out tracking=none"]
    assert "base accuracy" in capfd.readouterr().out
    assert not Path("out/FAILED").exists()


def test_without_a_folder_a_new_one_named_by_the_time_is_made(runs: _Runs) -> None:
    assert main(["tracking=none"]) == 0
    (folder,) = Path("runs").iterdir()
    assert runs[0].run_dir == str(folder)


def test_a_folder_may_have_any_name(runs: _Runs, tmp_path: Path) -> None:
    odd = tmp_path / "a, b = (c)"
    assert main([f"run_dir={odd}"]) == 0
    assert Path(runs[0].run_dir).resolve() == odd


def test_a_folder_may_be_named_by_the_settings(runs: _Runs) -> None:
    assert main(["run_dir=runs/${task.name}-${seed}", "seed=3"]) == 0
    assert [path.name for path in Path("runs").iterdir()] == ["arc_easy-3"]
    assert main(["-m", "run_dir=sweep/${task.name}", "seed=0,1"]) == 0
    assert [path.name for path in Path("sweep").iterdir()] == ["arc_easy"]
    assert [settings.run_dir for settings in runs[1:]] == ["sweep/arc_easy/seed=0", "sweep/arc_easy/seed=1"]


def test_a_folder_may_be_named_in_a_file_of_the_users_own(runs: _Runs) -> None:
    Path("more/experiment").mkdir(parents=True)
    Path("more/experiment/mine.yaml").write_text("# @package _global_\nrun_dir: 'it''s mine'\n")
    assert main(["--config-dir", "more", "experiment=mine"]) == 0
    assert runs[0].run_dir == "it's mine"


def test_jobs_of_a_sweep_cannot_name_folders_of_their_own(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=0,1", "run_dir=out/${seed}"]) == 2
    assert "run_dir is out/0 for one job and out/1 for another: name one folder" in capfd.readouterr().err
    assert not runs and not Path("out").exists()


def test_a_setting_that_no_job_reads_is_told_before_anything_runs(
    runs: _Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["prior.records=some/records.jsonl", "run_dir=out"]) == 2
    said = "cola-search: prior.records=some/records.jsonl would not be read: it is for prior=learnt; leave it out.\n"
    assert capfd.readouterr().err == said
    assert not runs and not Path("out").exists()
    assert main(["-m", "prior=uniform,voids", "prior.alpha=0.5", "run_dir=out"]) == 0


def test_a_mistake_is_one_sentence_and_exit_code_2(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["search.typo=3"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("cola-search: search.typo is not a setting")
    assert runs == [] and not Path("runs").exists()


def test_what_only_the_run_can_know_is_one_sentence_too(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def refuse(settings: Settings) -> None:
        raise UserError("task=xyz is unknown: see cola-search --info")

    runs.behave = refuse
    assert main(["run_dir=out"]) == 2
    assert capfd.readouterr().err == "cola-search: task=xyz is unknown: see cola-search --info\n"
    assert Path("out/FAILED").read_text() == "task=xyz is unknown: see cola-search --info\n"


def test_a_crash_leaves_its_traceback_and_exit_code_1(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def crash(settings: Settings) -> None:
        raise RuntimeError("boom")

    runs.behave = crash
    assert main(["run_dir=out"]) == 1
    assert "Traceback" in Path("out/FAILED").read_text()
    assert capfd.readouterr().err == "cola-search: RuntimeError: boom (traceback in out/FAILED)\n"


def test_a_run_that_succeeds_takes_the_mark_of_failure_away(runs: _Runs) -> None:
    Path("out").mkdir()
    Path("out/FAILED").touch()
    assert main(["run_dir=out"]) == 0
    assert not Path("out/FAILED").exists()


def test_nothing_is_written_into_a_folder_that_is_another_runs(runs: _Runs) -> None:
    def refuse(settings: Settings) -> None:
        raise FolderRefused("run_dir: out holds a run with other settings: seed")

    runs.behave = refuse
    assert main(["run_dir=out"]) == 2
    assert not Path("out/FAILED").exists() and not Path("out.REFUSED").exists()


def test_a_job_whose_folder_is_another_runs_has_failed_in_its_sweep(
    runs: _Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(settings: Settings) -> None:
        if settings.seed == 1:
            raise FolderRefused("run_dir: it holds a run with other settings: samples")

    runs.behave = refuse
    assert main(["-m", "seed=0,1", "run_dir=out"]) == 1
    assert "1 of 2 jobs failed" in capfd.readouterr().err
    assert Path("out/seed=1.REFUSED").read_text() == "run_dir: it holds a run with other settings: samples\n"
    assert not Path("out/seed=1/FAILED").exists()
    assert [job is None for job in sweep.sweep_jobs(Path("out")).values()] == [False, True]


def test_a_folder_that_cannot_be_made_is_told(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert main(["run_dir=file/out"]) == 2
    assert "run_dir=file/out cannot be made" in capfd.readouterr().err


def test_ctrl_c_says_how_to_go_on(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupt(settings: Settings) -> None:
        raise KeyboardInterrupt

    runs.behave = interrupt
    assert main(["seed=1", "tracking=none"]) == 130
    assert f"cola-search seed=1 tracking=none run_dir={runs[0].run_dir}" in capfd.readouterr().err


def test_being_told_to_end_is_as_ctrl_c(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def end(settings: Settings) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    runs.behave = end
    assert main(["seed=1", "run_dir=out"]) == 130
    assert "to go on: cola-search seed=1 run_dir=out" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_before_there_is_a_folder_is_no_crash(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "compose_jobs", interrupted)
    assert main(["seed=1"]) == 130
    assert capfd.readouterr().err == "cola-search: stopped.\n"


def test_a_sweep_whose_reader_left_runs_every_job(runs: _Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as unheard:
        monkeypatch.setattr(sys, "stdout", unheard)
        assert main(["-m", "seed=1,2", "run_dir=out"]) == 0
    assert [settings.seed for settings in runs] == [1, 2]


def test_a_sweep_does_not_fail_for_a_job_of_an_earlier_one_in_its_folder(
    runs: _Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("out/seed=9").mkdir(parents=True)
    Path("out/seed=9/FAILED").touch()
    assert main(["-m", "seed=0,1", "run_dir=out"]) == 0
    out, err = capfd.readouterr()
    assert "seed=9" in out and "failed;" not in err


def test_a_sweep_runs_every_job_in_a_folder_of_its_own(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=0,1", "model=smollm2,some-org/Model", "run_dir=out"]) == 0
    folders = [settings.run_dir for settings in runs]
    assert folders == [f"out/model={name},seed={seed}" for seed in (0, 1) for name in ("smollm2", "some-org-Model")]
    assert {settings.tracking.group for settings in runs} == {"out"}
    table = capfd.readouterr().out.split("job ")[-1]
    rows = [line.split()[:3] for line in table.splitlines() if line.startswith("model=")]
    assert rows[0] == ["model=smollm2,seed=0", "100%", "(1/1)"] and len(rows) == 4


def test_flags_and_overrides_come_in_any_order(runs: _Runs) -> None:
    assert main(["seed=0,1", "-m", "run_dir=out"]) == 0
    assert [settings.seed for settings in runs] == [0, 1]


def test_a_sweep_given_again_uses_the_same_folders(runs: _Runs) -> None:
    for _ in range(2):
        assert main(["-m", "seed=0,1", "run_dir=out"]) == 0
    assert [settings.run_dir for settings in runs] == ["out/seed=0", "out/seed=1"] * 2


def test_where_and_how_a_job_runs_is_not_in_its_name(runs: _Runs) -> None:
    assert main(["-m", "seed=0,1", "cluster=inprocess", "tracking=none", "run_dir=out"]) == 0
    assert runs[0].run_dir == "out/seed=0"


def test_a_job_that_fails_is_said_and_the_others_run(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def crash_first(settings: Settings) -> None:
        if settings.seed == 0:
            raise RuntimeError("boom")

    runs.behave = crash_first
    assert main(["-m", "seed=0,1", "run_dir=out"]) == 1
    assert [settings.seed for settings in runs] == [0, 1]
    assert "RuntimeError: boom" in Path("out/seed=0/FAILED").read_text()
    out, err = capfd.readouterr()
    assert "1 of 2 jobs failed" in err
    assert any(line.split() == ["seed=0", "failed"] for line in out.splitlines())


def test_the_table_of_a_sweep_names_a_local_model_as_it_is_called(
    runs: _Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: Settings) -> None:
        Path(settings.run_dir, "config.yaml").write_text(f"model: {{name: {settings.model.name}}}\n")
        raise UserError("no such weights")

    for name in ("m_a", "m_b"):
        Path(name).mkdir()
    runs.behave = fail
    assert main(["-m", "model=./m_a,./m_b", "run_dir=out"]) == 1
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["model=m_a", "failed"] in lines and ["model=m_b", "failed"] in lines
    assert Path("out/model=.-m_a").is_dir()


def test_a_mistake_in_one_job_of_a_sweep_stops_it_before_the_first(runs: _Runs) -> None:
    assert main(["-m", "search.simulations=10,0"]) == 2
    assert runs == []


def test_jobs_that_share_a_folder_count_as_one(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=0,0", "run_dir=out"]) == 0
    assert [settings.run_dir for settings in runs] == ["out/seed=0"] * 2
    assert "failed" not in capfd.readouterr().err


@pytest.mark.parametrize("flag", [["--config-dir", "more"], ["--config-dir=more"], ["-cd", "more"]])
def test_a_job_that_fails_fails_the_command_with_a_flag_of_hydra_too(
    runs: _Runs, capfd: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    more_configuration("mine")
    runs.behave = refuse_it
    assert main([*flag, "experiment=mine", "run_dir=out"]) == 2
    assert [settings.seed for settings in runs] == [41]
    assert main([*flag, "-m", "seed=0,1", "run_dir=sweep"]) == 1
    assert "2 of 2 jobs failed" in capfd.readouterr().err


def test_with_a_flag_of_hydra_mistakes_are_told_before_the_first_job(
    runs: _Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    more_configuration("mine")
    assert main(["--config-dir", "more", "-m", "search.simulations=10,0"]) == 2
    assert main(["--config-dir", "nowhere", "seed=1"]) == 2
    assert "--config-dir=nowhere is not a folder" in capfd.readouterr().err
    assert main(["seed=1", "--config-dir"]) == 2
    assert "--config-dir= is not a folder" in capfd.readouterr().err
    assert runs == [] and not Path("runs").exists()


def more_configuration(experiment: str) -> None:
    Path("more/experiment").mkdir(parents=True)
    Path(f"more/experiment/{experiment}.yaml").write_text("# @package _global_\nseed: 41\n")


def refuse_it(settings: Settings) -> None:
    raise UserError("task=nope is unknown")


@pytest.mark.parametrize("shown", [["--cfg=job"], ["-c", "job"], ["--info=searchpath"], ["--hydra-help"]])
def test_what_shows_runs_nothing_beside_another_flag_either(
    runs: _Runs, capfd: pytest.CaptureFixture[str], shown: list[str]
) -> None:
    more_configuration("mine")
    assert main(["--config-dir", "more", *shown]) == 0
    assert capfd.readouterr().out and runs == [] and not Path("runs").exists()


def test_showing_the_configuration_runs_nothing(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--cfg", "job", "-p", "search", "search.simulations=7"]) == 0
    assert "simulations: 7" in capfd.readouterr().out
    assert runs == [] and not Path("runs").exists()


@pytest.mark.parametrize("mistake", ["model=smolm2", "sample=4", "samples=0", "search=nope"])
def test_a_mistake_in_what_is_shown_is_one_sentence_too(capfd: pytest.CaptureFixture[str], mistake: str) -> None:
    assert main(["--cfg", "job", mistake]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"cola-search: {mistake.partition('=')[0]}") and err.count("\n") == 1


def test_a_model_of_the_users_own_folder_is_shown_and_run(runs: _Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("more/model").mkdir(parents=True)
    Path("more/model/mine.yaml").write_text("name: mine\nhub_id: owner/name\n")
    assert main(["--config-dir", "more", "--cfg", "job", "-p", "model", "model=mine"]) == 0
    assert "hub_id: owner/name" in capfd.readouterr().out
    assert main(["--config-dir", "more", "-m", "model=mine,other/name", "run_dir=out"]) == 0
    assert [settings.model.hub_id for settings in runs] == ["owner/name", "other/name"]


def test_a_stray_word_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["smollm2"]) == 2
    assert "write KEY=VALUE, as in model=smollm2" in capfd.readouterr().err


def test_the_command_line_is_taken_apart() -> None:
    command = read_command(["seed=1,2", "-m", "--cfg", "job", "model=pypi://P==1/a", "run_dir=x y"])
    assert command.flags == ["-m", "--cfg", "job"]
    assert command.overrides == ["seed=1,2", "model='pypi://P==1/a'", "run_dir='x y'"]
    assert (command.sweep, command.runs) == (True, False)


def test_arguments_of_the_process_are_left_as_they_were(runs: _Runs) -> None:
    before = list(sys.argv)
    main(["run_dir=out"])
    assert sys.argv == before


def command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=540
    )


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = command(["-m", "cola_search", "search.c=abc"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "cola-search: search.c='abc' must be a number.\n")


SMALL = ["samples=2", "search.simulations=5", "tracking=none", "run_dir=out"]


def test_a_sweep_of_two_real_jobs_runs_and_given_again_has_nothing_left_to_do(
    tmp_path: Path, tiny_folder: Path
) -> None:
    arguments = ["-m", "cola_search", "-m", f"model={tiny_folder}", "cluster=inprocess", "seed=0,1", *SMALL]
    first = command(arguments, tmp_path)
    assert first.returncode == 0, first.stderr
    jobs = sorted((tmp_path / "out").glob("*/records.jsonl"))
    assert [len(path.read_text().splitlines()) for path in jobs] == [2, 2]
    before = [path.read_bytes() for path in jobs]
    again = command(arguments, tmp_path)
    assert again.returncode == 0, again.stderr
    assert [path.read_bytes() for path in jobs] == before


CRASH_ONCE = """
import sys
from cola_search.pool import Pool
real = Pool.lumps
def crash_in_the_first_job(pool):
    lumps = real(pool)
    yield next(lumps)
    if calls.append(1) or len(calls) == 1:
        raise RuntimeError("boom, with the actors up")
    yield from lumps
calls = []
Pool.lumps = crash_in_the_first_job
from cola_search.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_sweep_whose_first_job_crashes_with_its_actors_up_runs_the_second(tmp_path: Path, tiny_folder: Path) -> None:
    """Hydra keeps exceptions, whose frames keep actors, which keep the GPU: the second job would wait for ever."""
    one_actor_at_a_time = ["cluster.replicas=1", "cluster.address=local", "cluster.wait_seconds=60"]
    done = command(["-c", CRASH_ONCE, "-m", f"model={tiny_folder}", "seed=0,1", *one_actor_at_a_time, *SMALL], tmp_path)
    assert done.returncode == 1, done.stderr
    failed, finished = sorted((tmp_path / "out").glob("*seed=*"))
    assert "boom, with the actors up" in (failed / "FAILED").read_text()
    assert len((failed / "records.jsonl").read_text().splitlines()) == 1
    assert json.loads((finished / "summary.json").read_text())["samples"] == 2
    assert "1 of 2 jobs failed" in done.stderr
