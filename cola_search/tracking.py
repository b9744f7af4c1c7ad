"""Shows a run somewhere besides its folder: nowhere, or on Weights & Biases. A view of the records, never needed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self

from cola_search.records import Record
from cola_search.report.summary import Summary
from cola_search.report.tally import Tally
from cola_search.settings import Settings

AXES = ("samples", "simulations", "layer_executions")
"""What every scalar is drawn against: `by_samples/fixed`, `by_simulations/fixed`, ..."""

COLUMNS = [
    "sample",
    "outcome",
    "question",
    "gold",
    "base answer",
    "base right",
    "chain",
    "length",
    "layers saved",
    "verified",
    "evaluations",
    "layer executions",
]


class Tracker(Protocol):
    """What a driver tells of a run; used in a `with` block."""

    place: str
    """Where to look, for the terminal; empty if nowhere."""

    def log(self, record: Record, tally: Tally) -> None:
        """Shows one new record; `tally` has it counted already."""

    def finish(self, summary: Summary, records: Path) -> None:
        """Shows the result and keeps the record file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


def make_tracker(settings: Settings) -> Tracker:
    """The tracker that `tracking.kind` names."""
    match settings.tracking.kind:
        case "none":
            return NullTracker()
        case "wandb":
            from cola_search.wandb_tracker import WandbTracker

            return WandbTracker(settings.tracking, settings.as_dict(), Path(settings.run_dir))


class NullTracker:
    """Shows nothing."""

    place = ""

    def log(self, record: Record, tally: Tally) -> None:
        """Does nothing."""

    def finish(self, summary: Summary, records: Path) -> None:
        """Does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


def scalars(tally: Tally) -> dict[str, float]:
    """The scalars so far, once for each axis, and the axes themselves."""
    right, wrong = tally.base_right, tally.scored - tally.base_right
    saved = sum(layers * count for layers, count in tally.layers_saved.items())
    values = {
        "base_accuracy": _share(right, tally.scored),
        "found_accuracy_oracle": _share(tally.found, tally.scored),
        "fixed": _share(tally.fixed, wrong),
        "shortened": _share(tally.shortened, right),
        "layers_saved": _share(saved, tally.layers_saved.total()),
        "verification_agreement": _share(tally.agreed, tally.checked),
        **{  # beside `fixed`, which is of the samples that the base has wrong, too
            f"{name}_reached": _share(control.base_wrong_reached, control.base_wrong_runs)
            for name, control in tally.controls.items()
        },
    }
    points: dict[str, float] = {axis: float(getattr(tally, axis)) for axis in AXES}
    for axis in AXES:
        points |= {f"by_{axis}/{name}": value for name, value in values.items() if value is not None}
    return points


def row(record: Record) -> list[Any]:
    """The row of a sample, as COLUMNS names it."""
    right, best = record.base_right, record.best
    saved = None if best is None else record.num_layers - best.length
    return [
        record.sample,
        record.outcome,
        record.question,
        record.answer_text(record.gold),
        None if record.base is None else record.answer_text(record.base.prediction),
        right,
        None if best is None else best.chain,
        None if best is None else best.length,
        saved,
        None if best is None else best.verified,
        record.counts.evaluations,
        record.counts.layer_executions,
    ]


def headline(summary: Summary) -> dict[str, Any]:
    """The figures for the table of runs."""
    rates = {
        "base_accuracy": summary.base_accuracy,
        "found_accuracy_oracle": summary.found_accuracy_oracle,
        "fixed": summary.fixed,
        "shortened": summary.shortened,
        "verification_agreement": summary.verification_agreement,
        **{f"{name}_reached": control.base_wrong_reached for name, control in summary.controls.items()},
    }
    figures: dict[str, Any] = {name: asdict(rate) for name, rate in rates.items()}
    return figures | {
        "layers_saved": asdict(summary.layers_saved),
        "evaluations_per_second": summary.evaluations_per_second,
        "samples": summary.samples,
        "errors": summary.errors,
        "warnings": summary.warnings,
    }


def _share(count: float, of: float) -> float | None:
    return count / of if of else None
