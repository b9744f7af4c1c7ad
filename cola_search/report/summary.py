"""The figures of a run: a pure function of its records, as a dataclass that `summary.json` holds."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from cola_search import __version__
from cola_search.records import Record
from cola_search.report.examples import Example, example_of
from cola_search.report.probes import ProbesSummary, probe_warnings, probes_summary
from cola_search.report.stats import (
    Difference,
    Mean,
    Rate,
    bonett_price,
    chance_of_as_many,
    in_words,
    mean_of,
    points,
    wilson,
)
from cola_search.report.tally import ControlTally, Tally
from cola_search.search_settings import longest_chain
from cola_search.whole_file import write_whole

SUMMARY_SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """What a reader must know of the task to judge an accuracy on it."""

    metric: str | None = None
    chance: float | None = None
    """Accuracy of guessing among the options."""
    majority: float | None = None
    """Accuracy of always giving the most frequent answer."""
    transfer_items: int | None = None
    """How many of its items found chains are moved to."""
    version: str | None = None
    prompt_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class ControlSummary:
    """One kind of control search beside the search that it controls."""

    reached: Rate
    """On all samples that it was run on."""
    base_wrong_reached: Rate
    """Where the base is wrong, as it is wherever a search fixes."""
    fixed_minus_reached: Difference | None
    """Fixed rate minus `base_wrong_reached`, paired over the samples of the latter (`stats.bonett_price`)."""
    length: Mean
    """Length of the shortest chain that reached the target."""
    evaluations: int
    layer_executions: float
    """What it spent, verification left out, as in `Summary`: random chains have the search's simulations, not its layer
    executions, unless these are what limits the search."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures of one run. Every rate carries its counts and a 95% interval (`stats.wilson`)."""

    schema: int = SUMMARY_SCHEMA
    version: str = __version__
    task: str
    model: str
    num_layers: int
    max_length: float | None
    """The longest chain that was allowed, in multiples of the layers; None where that is not known."""
    facts: TaskFacts
    samples: int
    errors: int
    """Samples that failed; they enter no rate."""
    base_accuracy: Rate
    found_accuracy_oracle: Rate
    """Share with some right chain, chosen with the answer key of the very sample: an oracle, not to be deployed."""
    fixed: Rate
    """Of the samples that the base got wrong."""
    shortened: Rate
    """Of the samples that the base got right."""
    layers_saved: Mean
    """By the shortest right chain, where the base is right."""
    layers_saved_histogram: dict[int, int]
    layers_saved_when_fixed: Mean
    """By the shortest right chain, where the base is wrong; negative where it is longer than the model."""
    evaluations_to_first_fix: Mean
    layer_executions_to_first_fix: Mean
    """Three digits each."""
    simulations: int
    evaluations: int
    layer_executions: float
    replica_seconds: float
    """Summed over the samples: the time that replicas worked on them."""
    evaluations_per_second: float | None
    """Of the whole run where its wall time is known, else per replica. The evaluations are those of the searches, the time is
    that of their controls and of verification too."""
    verification_agreement: Rate
    near_ties: int
    controls: dict[str, ControlSummary]
    probes: ProbesSummary
    """The controls that are no search."""
    warnings: list[str]
    """What a reader must know before quoting any of the above."""
    examples: list[Example]


def summarize(
    records: Iterable[Record],
    facts: TaskFacts = TaskFacts(),
    evaluations_per_second: float | None = None,
    max_length: float | None = None,
) -> Summary:
    """The summary of the records, read once and in any order; see `SummaryBuilder.summary`."""
    builder = SummaryBuilder()
    for record in records:
        builder.add(record)
    return builder.summary(facts, evaluations_per_second, max_length)


class SummaryBuilder:
    """Takes records one by one, so that a driver can keep the figures up to date without a second pass."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._first: Record | None = None
        self._fixed: list[Example] = []
        self._shortened: list[Example] = []

    def add(self, record: Record) -> None:
        """Counts one record and keeps its chain if it is among the most telling ones."""
        if self._first is None or (self._first.error and not record.error):  # a lost sample's record knows no layers
            self._first = record
        self.tally.add(record)
        right = record.base_right
        if right is None or record.best is None or (right and record.best.length >= record.num_layers):
            return
        kept = self._shortened if right else self._fixed
        kept.append(example_of(record))
        kept.sort(key=lambda example: (example.length, example.sample))
        del kept[3:]

    def summary(
        self,
        facts: TaskFacts = TaskFacts(),
        evaluations_per_second: float | None = None,
        max_length: float | None = None,
    ) -> Summary:
        """The figures so far, with what the records do not say: the task, the driver's measurement, and the cap on chains."""
        tally, first = self.tally, self._first
        base, fixed = wilson(tally.base_right, tally.scored), wilson(tally.fixed, tally.scored - tally.base_right)
        layers = first.num_layers if first else 0
        longest = inf if max_length is None else longest_chain(max_length, layers)
        controls = {name: _control(control, longest) for name, control in sorted(tally.controls.items())}
        probes = probes_summary(tally.probes, facts.transfer_items)
        rate = tally.evaluations / tally.seconds if tally.seconds and tally.evaluations else None
        return Summary(
            task=first.task if first else "",
            model=first.model if first else "",
            num_layers=layers,
            max_length=max_length,
            facts=facts,
            samples=tally.samples,
            errors=tally.errors,
            base_accuracy=base,
            found_accuracy_oracle=wilson(tally.found, tally.scored),
            fixed=fixed,
            shortened=wilson(tally.shortened, tally.base_right),
            layers_saved=mean_of(tally.layers_saved, least=0, most=layers - 1),
            layers_saved_histogram=dict(sorted(tally.layers_saved.items())),
            layers_saved_when_fixed=mean_of(tally.fixed_saved, least=layers - longest, most=layers - 1),
            evaluations_to_first_fix=mean_of(tally.fix_evaluations, least=1),
            layer_executions_to_first_fix=mean_of(tally.fix_layer_executions, least=0),
            simulations=tally.simulations,
            evaluations=tally.evaluations,
            layer_executions=tally.layer_executions,
            replica_seconds=tally.seconds,
            evaluations_per_second=evaluations_per_second or rate,
            verification_agreement=wilson(tally.agreed, tally.checked),
            near_ties=tally.near_ties,
            controls=controls,
            probes=probes,
            warnings=[*_warnings(tally, base, fixed, controls, facts), *probe_warnings(probes, fixed)],
            examples=(self._fixed[:1] + self._shortened + self._fixed[1:])[:3],
        )


def _control(tally: ControlTally, longest: float) -> ControlSummary:
    return ControlSummary(
        reached=wilson(tally.reached, tally.runs),
        base_wrong_reached=wilson(tally.base_wrong_reached, tally.base_wrong_runs),
        fixed_minus_reached=bonett_price(tally.only_fixed, tally.only_reached, tally.base_wrong_runs),
        length=mean_of(tally.lengths, least=1, most=longest),
        evaluations=tally.evaluations,
        layer_executions=tally.layer_executions,
    )


def _warnings(
    tally: Tally, base: Rate, fixed: Rate, controls: dict[str, ControlSummary], facts: TaskFacts
) -> list[str]:
    """In words, what the figures do not show."""
    said: list[str | None] = [
        _not_above(base, facts.chance, "guessing"),
        _not_above(base, facts.majority, "always giving the most frequent answer"),
        *(_not_beyond(name, fixed, control) for name, control in controls.items()),
        *(_cut_short(name, control) for name, control in sorted(tally.controls.items())),
    ]
    if tally.unsearched:
        said.append(
            f"The search tried no chain but the whole model on {tally.unsearched} of {tally.scored} items, as where that meets its "
            "stop rule: fixed, shortened and layers saved say nothing of them."
        )
    if tally.scored and tally.fixed and "decoy" not in controls:
        said.append("No decoys were run, so the fixes may be luck: add controls=decoy.")
    if tally.unverified:
        count = _do(tally.unverified, "count")
        said.append(f"{tally.unverified} of {tally.scored} samples {count} with verdicts that were not verified alone.")
    if tally.errors:
        enter, why = _do(tally.errors, "enter"), "its record says" if tally.errors == 1 else "their records say"
        said.append(f"{tally.errors} of {tally.samples} samples failed and {enter} no rate; {why} why.")
    return [sentence for sentence in said if sentence]


def _not_above(base: Rate, floor: float | None, what: str) -> str | None:
    if floor is None or not base.of or (luck := chance_of_as_many(int(base.count), base.of, floor)) <= 0.025:
        return None
    return (
        f"The base accuracy, {in_words(base)}, is not shown to be above {what} ({floor:.0%}; as many right by that: p {luck:.2f}): "
        "a fix on this task is no evidence that the model knew the answer."
    )


def _not_beyond(name: str, fixed: Rate, control: ControlSummary) -> str | None:
    difference, beside = control.fixed_minus_reached, control.base_wrong_reached
    if not fixed.count:
        return None
    if difference is None:
        return _nothing_beside(fixed, control)
    if difference.low > 0:
        return None
    what = {"decoy": "a search sent after a wrong answer", "random": "random chains"}.get(name, name)
    same = f" on the {beside.of} that have both" if beside.of < fixed.of else ""
    return (
        f"Fixes are not shown to stand above {what}: {in_words(fixed)} against {in_words(beside)} "
        f"where the base is wrong, a difference of {points(difference)}{same}. Luck can explain them."
    )


def _cut_short(name: str, control: ControlTally) -> str | None:
    if not control.cut_short:
        return None
    return (
        f"{control.cut_short} of {control.runs} controls ({name}) gave up with less than half of what their search spent, "
        f"having no more chains to try: {'it says' if control.cut_short == 1 else 'they say'} less of luck."
    )


def _do(count: int, verb: str) -> str:
    """The verb as it goes with so many."""
    return f"{verb}s" if count == 1 else verb


def _nothing_beside(fixed: Rate, control: ControlSummary) -> str:
    """What is said where the control ran on no item that the base has wrong, as on tasks with two options."""
    return (
        f"No item that the base has wrong has a decoy (of two options none is left): nothing tells the fixes, {in_words(fixed)}, "
        f"from luck; where the base is right, {in_words(control.reached)} of the decoys were reached."
    )


def write_summary(path: Path, summary: Summary) -> None:
    """Writes summary.json in one step, so that a reader never sees half of it."""
    write_whole(path, json.dumps(asdict(summary), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
