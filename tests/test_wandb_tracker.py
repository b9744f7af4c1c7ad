"""Real offline W&B runs, read back from their files."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from record_fixture import record
from wandb_file import history, panel_pages, summary, table_rows, wandb_records

from cola_search import wandb_tracker
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.report.panels import PANELS
from cola_search.report.summary import SummaryBuilder
from cola_search.settings import TrackingSettings
from cola_search.tracking import AXES, make_tracker
from cola_search.wandb_tracker import TABLE, WandbTracker, _Stride, has_key, run_id

SETTINGS = TrackingSettings(kind="wandb", project="p")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    yield
    wandb.teardown()


def track(folder: Path, names: str, earlier: str = "", group: str | None = None) -> WandbTracker:
    """Tracks one record a letter, after the ones that an earlier command left."""
    settings = replace(compose_settings(["tracking=wandb"]), run_dir=str(folder))
    settings = replace(settings, tracking=replace(settings.tracking, group=group))
    builder = SummaryBuilder()
    folder.mkdir(exist_ok=True)
    path = folder / "records.jsonl"
    path.write_text("".join(record(name, best=9).to_line() + "\n" for name in earlier))
    for name in earlier:
        builder.add(record(name, best=9))
    with make_tracker(settings) as tracker:
        for name in names:
            builder.add(one := record(name, best=9))
            with path.open("a") as file:
                file.write(one.to_line() + "\n")
            tracker.log(one, builder.tally)
        tracker.finish(builder.summary(), path)
    wandb.teardown()  # its service may still be writing the file when a run is finished
    assert isinstance(tracker, WandbTracker)
    return tracker


def test_an_offline_run_holds_scalars_rows_result_and_the_record_file(tmp_path: Path) -> None:
    tracker = track(tmp_path / "run", "abcd", group="sweep")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (path,) = folder.glob("*.wandb")
    records = list(wandb_records(path))
    assert [row[0] for row in table_rows(folder, records, TABLE)] == ["a", "b", "c", "d"]
    steps = [step for step in history(records) if "samples" in step]
    assert [step["samples"] for step in steps] == [1, 2, 3, 4]
    assert steps[-1]["by_layer_executions/layers_saved"] == 3.0
    metrics = {r.metric.glob_name or r.metric.name: r.metric.step_metric for r in records if r.HasField("metric")}
    assert {f"by_{axis}/*": axis for axis in AXES}.items() <= metrics.items()
    assert summary(records)["shortened"]["count"] == 4
    artifacts = [r.artifact for r in records if r.HasField("artifact")]
    assert any(a.type == "records" and a.manifest.contents[0].path == "records.jsonl" for a in artifacts)
    (run, *_) = [r.run for r in records if r.HasField("run")]
    assert (run.run_group, run.job_type, run.display_name) == ("sweep", "search", "run")
    assert str(folder.parent) in tracker.place and "wandb sync" in tracker.place


def test_going_on_in_a_folder_goes_on_with_its_run(tmp_path: Path) -> None:
    track(tmp_path / "run", "ab")
    track(tmp_path / "run", "cd", earlier="ab")
    paths = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    ids = {r.run.run_id for path in paths for r in wandb_records(path) if r.HasField("run")}
    assert len(paths) == 2 and ids == {run_id(tmp_path / "run")}
    rows = table_rows(paths[1].parent, list(wandb_records(paths[1])), TABLE)
    assert [row[0] for row in rows] == ["a", "b", "c", "d"]


def test_the_steps_of_a_run_that_is_gone_on_with_offline_follow_those_before(tmp_path: Path) -> None:
    track(tmp_path / "run", "ab")
    track(tmp_path / "run", "cd", earlier="ab")
    paths = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    first, second = ([step["_step"] for step in history(list(wandb_records(path)))] for path in paths)
    assert first == [0, 1, 2] and second == [3, 4, 5]


@pytest.mark.parametrize("name", ["wandb-run-step", "wandb-run-id"])
def test_a_file_of_ours_that_a_full_disk_left_empty_ends_no_tracking(tmp_path: Path, name: str) -> None:
    track(tmp_path / "run", "a")
    (tmp_path / "run" / name).write_text("")
    track(tmp_path / "run", "b", earlier="a")
    paths = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert [any("samples" in step for step in history(list(wandb_records(path)))) for path in paths] == [True, True]
    assert (tmp_path / "run" / name).read_text().strip()


def test_going_on_offline_with_nothing_left_to_do_has_the_whole_table(tmp_path: Path) -> None:
    track(tmp_path / "run", "ab")
    track(tmp_path / "run", "", earlier="ab")
    path = max((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert [row[0] for row in table_rows(path.parent, list(wandb_records(path)), TABLE)] == ["a", "b"]


@pytest.mark.parametrize("mode", ["offline", "dryrun"])
def test_a_key_and_wandb_mode_offline_stay_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_MODE", mode)
    assert WandbTracker(SETTINGS, {}, tmp_path)._mode() == "offline"
    assert WandbTracker(replace(SETTINGS, mode="online"), {}, tmp_path)._mode() == "online"


def test_with_a_key_auto_is_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    for mode in ("", "online", "run"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert WandbTracker(SETTINGS, {}, tmp_path)._mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "of-line")
    with pytest.raises(UserError, match="WANDB_MODE=of-line is none of"):
        WandbTracker(SETTINGS, {}, tmp_path)._mode()


def test_wandb_mode_disabled_tracks_nothing_unless_the_settings_say_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert track(tmp_path / "run", "ab").place == ""
    assert not (tmp_path / "run" / "wandb").exists() and not (tmp_path / "run" / "wandb-run-id").exists()
    with WandbTracker(replace(SETTINGS, mode="offline"), {}, tmp_path / "other"):
        pass
    assert list((tmp_path / "other" / "wandb").glob("offline-run-*/*.wandb"))


def test_an_offline_run_holds_every_picture_and_going_on_draws_all_records(tmp_path: Path) -> None:
    assert PANELS == ("panels/chains", "panels/layer_usage_fixed", "panels/layer_usage_shortened", "panels/depth")
    for names, earlier, count in (("abc", "", 3), ("de", "abc", 5)):
        track(tmp_path / "run", names, earlier=earlier)
        path = max((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
        records = list(wandb_records(path))
        pages = {key: panel_pages(path.parent, records, key) for key in PANELS}
        assert all(len(versions) >= 2 for versions in pages.values())
        last = {key: versions[-1] for key, versions in pages.items()}
        assert last["panels/chains"].count('role="img"') == count
        assert f"layer 11: skipped by {count} of {count}" in last["panels/layer_usage_shortened"]
        assert "layer usage of best chains, fixed (ORACLE): n=0" in last["panels/layer_usage_fixed"]
        assert f"base right (ORACLE): 12 layers before, 9.0 after on average (n={count})" in last["panels/depth"]
        assert not any("http" in page.replace("http://www.w3.org/2000/svg", "") for page in last.values())


def test_two_runs_in_one_process_are_two_runs(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        with WandbTracker(SETTINGS, {}, folder):
            assert wandb.run is not None and wandb.run.id == run_id(folder)
        assert wandb.run is None
    assert run_id(tmp_path / "one") != run_id(tmp_path / "two")
    assert len(list(tmp_path.glob("*/wandb/offline-run-*"))) == 2


def test_nothing_of_the_machine_or_its_user_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_USERNAME", "somebody")
    track(tmp_path / "run", "a")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    names = {path.name for path in folder.rglob("*")}
    assert not names & {"wandb-metadata.json", "requirements.txt", "output.log", "diff.patch"}
    (path,) = folder.glob("*.wandb")
    (run, *_) = [r.run for r in wandb_records(path) if r.HasField("run")]
    assert run.host == "-" and not run.git.remote_url


def test_nothing_is_written_outside_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    track(tmp_path / "run", "a")
    assert not (home / ".local").exists() and not (home / ".config").exists()


def test_without_a_key_online_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    tracker = WandbTracker(replace(SETTINGS, mode="online"), {}, tmp_path)
    with pytest.raises(UserError, match=r"tracking\.mode=online needs a key"), tracker:
        pass


def test_a_key_in_the_environment_or_in_netrc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    wandb.teardown()
    (tmp_path / "no-netrc").write_text("machine wandb.example.org login user password secret\n")
    assert has_key()
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert has_key()


def test_a_key_that_does_not_work_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    track(tmp_path / "run", "a")
    assert "this run is kept offline" in caplog.text
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_a_server_that_does_not_answer_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(wandb_tracker, "_INIT_SECONDS", 1.0)
    track(tmp_path / "run", "a")
    assert "this run is kept offline" in caplog.text
    (path,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert [row[0] for row in table_rows(path.parent, list(wandb_records(path)), TABLE)] == ["a"]


def test_what_goes_wrong_while_tracking_stops_the_tracking_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    builder = SummaryBuilder()
    builder.add(record())
    with caplog.at_level(logging.WARNING), WandbTracker(SETTINGS, {}, tmp_path) as tracker:
        monkeypatch.setattr(wandb.Table, "add_data", fail)
        for _ in range(3):
            tracker.log(record(), builder.tally)
    assert caplog.text.count("tracking stopped") == 1
    assert wandb.run is None


def test_the_table_is_sent_ever_more_seldom_and_what_is_left_at_the_end() -> None:
    stride = _Stride(per=20)
    sent = [count for count in range(1, 1001) if stride.due(count)]
    assert sent[:20] == list(range(1, 21))
    assert len(sent) < 120
    assert stride.behind == (sent[-1] != 1000)
