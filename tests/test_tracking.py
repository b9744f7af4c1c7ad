"""What a tracker is told: the scalars, the rows, and the choice of the tracker."""

from dataclasses import replace
from pathlib import Path

from record_fixture import decoy, record

from cola_search.config import compose_settings
from cola_search.report.summary import summarize
from cola_search.report.tally import Tally
from cola_search.tracking import AXES, COLUMNS, NullTracker, headline, make_tracker, row, scalars
from cola_search.wandb_tracker import WandbTracker


def tally_of(*records: object) -> Tally:
    tally = Tally()
    for one in records:
        tally.add(one)  # type: ignore[arg-type]
    return tally


def test_tracking_none_shows_nothing_and_touches_nothing(tmp_path: Path) -> None:
    settings = replace(compose_settings(["tracking=none"]), run_dir=str(tmp_path))
    with make_tracker(settings) as tracker:
        tracker.log(record(), tally_of(record()))
        tracker.finish(summarize([record()]), tmp_path / "records.jsonl")
    assert isinstance(tracker, NullTracker) and tracker.place == ""
    assert list(tmp_path.iterdir()) == []


def test_wandb_is_what_a_run_uses_when_nothing_is_said(tmp_path: Path) -> None:
    assert isinstance(make_tracker(replace(compose_settings(), run_dir=str(tmp_path))), WandbTracker)


def test_every_scalar_is_there_for_every_axis() -> None:
    points = scalars(tally_of(record("a", best=9), record("b", right=False, best=13, controls=decoy(True, 9))))
    assert {axis: points[axis] for axis in AXES} == {"samples": 2.0, "simulations": 20.0, "layer_executions": 128.0}
    names = {key.partition("/")[2] for key in points if "/" in key}
    assert {"base_accuracy", "found_accuracy_oracle", "fixed", "shortened", "layers_saved", "decoy_reached"} <= names
    assert set(points) == set(AXES) | {f"by_{axis}/{name}" for axis in AXES for name in names}
    assert (points["by_samples/fixed"], points["by_simulations/layers_saved"]) == (1.0, 3.0)


def test_the_scalar_of_a_control_is_of_the_samples_that_the_base_has_wrong_as_the_headline_is() -> None:
    told = [record("a", controls=decoy(True, 9)), record("b", right=False, best=13, controls=decoy(False))]
    assert scalars(tally_of(*told))["by_samples/decoy_reached"] == 0.0
    assert headline(summarize(told))["decoy_reached"]["rate"] == 0.0


def test_a_scalar_without_anything_to_count_is_left_out() -> None:
    assert "by_samples/fixed" not in scalars(tally_of(record("a", best=9)))


def test_a_row_tells_what_was_asked_and_found() -> None:
    told = dict(zip(COLUMNS, row(record("b", right=False, best=13)), strict=True))
    assert told["outcome"] == "fixed"
    assert (told["gold"], told["base answer"], told["base right"]) == ("east", "south", False)
    assert (told["chain"], told["length"], told["layers saved"], told["verified"]) == ("0-12", 13, -1, True)


def test_a_row_of_a_sample_without_a_chain_has_gaps() -> None:
    told = dict(zip(COLUMNS, row(record("b", right=False, best=None)), strict=True))
    assert (told["outcome"], told["chain"], told["layers saved"]) == ("unsolved", None, None)


def test_the_headline_carries_counts_and_intervals() -> None:
    figures = headline(summarize([record("a", best=9)]))
    assert figures["shortened"] | {"low": None} == {"count": 1, "of": 1, "rate": 1.0, "low": None, "high": 1.0}
