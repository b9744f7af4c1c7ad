"""What the records add up to so far: integers only, one pass, and no memory that grows with the number of records."""

from collections import Counter
from dataclasses import dataclass, field

from cola_search.records import Control, Counts, Record
from cola_search.report.probes import ProbesTally


@dataclass
class ControlTally:
    """Outcomes of one kind of control search."""

    runs: int = 0
    reached: int = 0
    base_wrong_runs: int = 0
    """Runs on samples that the base got wrong: the ones that stand beside the fixes."""
    base_wrong_reached: int = 0
    only_fixed: int = 0
    """Of these runs, those whose sample was fixed and whose target was not reached."""
    only_reached: int = 0
    """The reverse."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Length of the shortest chain that reached the target, where one did."""
    evaluations: int = 0
    layer_executions: float = 0.0
    cut_short: int = 0
    """Runs that gave up with less than half of what their search spent, as where a space has no more chains to draw."""

    def add(self, control: Control, base_right: bool, found: bool, searched: Counts) -> None:
        """Counts one control search beside what the search of that sample found and spent."""
        self.runs += 1
        self.evaluations += control.evaluations
        self.layer_executions += control.layer_executions
        gave_up = not control.reached and 2 * control.evaluations < searched.evaluations
        self.cut_short += gave_up and 2 * control.layer_executions < searched.layer_executions
        self.reached += control.reached
        if not base_right:
            self.base_wrong_runs += 1
            self.base_wrong_reached += control.reached
            self.only_fixed += found and not control.reached
            self.only_reached += control.reached and not found
        if control.reached and control.length is not None:
            self.lengths[control.length] += 1


@dataclass
class Tally:
    """Counts over records. Rates are over `scored` samples: those whose base has a verdict and that did not fail."""

    samples: int = 0
    errors: int = 0
    scored: int = 0
    base_right: int = 0
    found: int = 0
    """Samples with a right chain, chosen with the answer key."""
    fixed: int = 0
    shortened: int = 0
    unsearched: int = 0
    """Samples on which nothing but the base was scored."""
    unverified: int = 0
    """Samples whose base or best verdict was not checked against stock transformers."""
    layers_saved: Counter[int] = field(default_factory=Counter)
    """Layers saved by the best chain where the base is right."""
    fixed_saved: Counter[int] = field(default_factory=Counter)
    """Layers saved by the best chain where the base is wrong; negative where the chain is longer than the model."""
    fix_evaluations: Counter[int] = field(default_factory=Counter)
    fix_layer_executions: Counter[int] = field(default_factory=Counter)
    """Rounded to three digits, which keeps the number of distinct values small."""
    simulations: int = 0
    evaluations: int = 0
    layer_executions: float = 0.0
    seconds: float = 0.0
    checked: int = 0
    agreed: int = 0
    near_ties: int = 0
    controls: dict[str, ControlTally] = field(default_factory=dict)
    probes: ProbesTally = field(default_factory=ProbesTally)

    def add(self, record: Record) -> None:
        """Counts one record."""
        self.samples += 1
        self.simulations += record.counts.simulations
        self.evaluations += record.counts.evaluations
        self.layer_executions += record.counts.layer_executions
        self.seconds += record.seconds
        self.checked += record.verification.checked
        self.agreed += record.verification.agreed
        self.near_ties += record.verification.near_ties
        right = record.base_right
        if right is None:
            self.errors += 1
            return
        self.scored += 1
        self.base_right += right
        self.unsearched += record.counts.evaluations <= 1
        self._add_best(record, right)
        for name, control in record.controls.items():
            self.controls.setdefault(name, ControlTally()).add(control, right, record.best is not None, record.counts)
        self.probes.add(record.probes, right, record.best is not None)

    def _add_best(self, record: Record, right: bool) -> None:
        base, best = record.base, record.best
        self.unverified += (base is None or base.verified is None) or (best is not None and best.verified is None)
        if best is None:
            return
        saved = record.num_layers - best.length
        self.found += 1
        if right:
            self.shortened += saved > 0
            self.layers_saved[saved] += 1
            return
        self.fixed += 1
        self.fixed_saved[saved] += 1
        if first := record.counts.first_fix:
            self.fix_evaluations[first.evaluations] += 1
            self.fix_layer_executions[_three_digits(first.layer_executions)] += 1


def _three_digits(value: float) -> int:
    return int(float(f"{value:.3g}"))
