"""experiments/wandb_view.py: what the saved view shows, built without a network."""

import json
import sys

import pytest
import wandb_view as view
from record_fixture import decoy, record

from cola_search.report.panels import PANELS
from cola_search.report.tally import Tally
from cola_search.tracking import scalars
from cola_search.wandb_tracker import TABLE


def test_the_view_shows_every_picture_the_table_and_curves_that_a_run_logs() -> None:
    pytest.importorskip("wandb_workspaces")
    shown = json.dumps(view.build("team", "project")._to_model().model_dump(mode="json"))
    assert all(json.dumps(key) in shown for key in (*PANELS, TABLE))
    tally = Tally()
    for one in (record("a", best=9), record("b", right=False, best=9, controls=decoy(True, 5))):
        tally.add(one)
    logged = scalars(tally)
    curves = [key for axis in view.AXES for name in view.SCALARS if (key := f"by_{axis}/{name}")]
    assert set(curves) <= set(logged) and all(json.dumps(key) in shown for key in curves)


def test_runs_are_grouped_by_sweep() -> None:
    pytest.importorskip("wandb_workspaces")
    assert [metric.name for metric in view.build("team", "project").runset_settings.groupby] == ["Group"]


def test_without_the_package_the_user_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert view.main(["--entity", "team"]) == 2
    assert capsys.readouterr().err == (
        "wandb_view: the view needs the package wandb-workspaces: pip install wandb-workspaces\n"
    )


def test_without_a_key_nothing_is_sent_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setattr(view, "has_key", lambda: False)
    assert view.main(["--entity", "team"]) == 2
    assert "set WANDB_API_KEY" in capsys.readouterr().err
