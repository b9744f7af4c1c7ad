"""The controls that are no search, counted over the records, as figures, and in words."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cola_search.records import Probe
from cola_search.report.stats import (
    Difference,
    Rate,
    clustered,
    in_words,
    newcombe,
    paired_difference,
    points,
    wilson,
)

TEN_THOUSAND = 10_000  # a probability has four digits, and is summed as a whole number so that order changes nothing
PROBE_NAMES = {
    "shuffle": "fixes, options reordered",
    "transfer": "chains on other items",
    "undo_fixed": "fixes, one edit undone",
    "undo_shortened": "shortened, one edit undone",
}


@dataclass
class ProbeTally:
    """Verdicts of one kind of control, sample by sample."""

    refused: int = 0
    verdicts: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """How many samples have so many (tries, right, right by the base)."""


@dataclass
class PassTally:
    """What drawn answers of the untouched model reached."""

    k: int = 0
    runs: int = 0
    reached: int = 0
    """Summed probabilities, in ten-thousandths."""
    base_wrong_runs: int = 0
    base_wrong_reached: int = 0
    fixed: int = 0
    """Samples of these runs that the search fixed."""


@dataclass
class ProbesTally:
    """All of them. Undoing edits is counted for fixes and for shortened chains apart, since most edits of the latter can
    be undone by their nature: the base is right there."""

    pass_at_k: PassTally = field(default_factory=PassTally)
    others: dict[str, ProbeTally] = field(default_factory=dict)

    def add(self, probes: Mapping[str, Probe], base_right: bool, found: bool) -> None:
        """Counts the controls of one record; found: whether the search found a right chain."""
        for name, probe in probes.items():
            if name == "pass_at_k":
                self._add_pass(probe, base_right, found)
                continue
            if name == "undo_one_edit":
                name = "undo_shortened" if base_right else "undo_fixed"
            tally = self.others.setdefault(name, ProbeTally())
            if probe.tries == 0:
                tally.refused += 1
            else:
                tally.verdicts[probe.tries, int(probe.right), probe.base_right or 0] += 1

    def _add_pass(self, probe: Probe, base_right: bool, found: bool) -> None:
        if probe.reached is None:
            return
        tally, reached = self.pass_at_k, round(TEN_THOUSAND * probe.reached)
        tally.k = max(tally.k, probe.tries)
        tally.runs += 1
        tally.reached += reached
        if not base_right:
            tally.base_wrong_runs += 1
            tally.base_wrong_reached += reached
            tally.fixed += found


@dataclass(frozen=True, kw_only=True)
class PassSummary:
    """Share of samples that one of k drawn answers of the untouched model gets right. Counts are expected numbers where
    options are scored."""

    k: int
    reached: Rate
    base_wrong_reached: Rate
    fixed_minus_reached: Difference | None
    """Fixed rate, of the samples of `base_wrong_reached`, minus that; the two taken as independent."""


@dataclass(frozen=True, kw_only=True)
class ProbeSummary:
    """Share of the tries that are right; its interval takes the tries of one sample together (`stats.clustered`), and for
    transfer those on one item."""

    samples: int
    """On which it was tried."""
    refused: int
    """On which it cannot be tried; they count nowhere."""
    right: Rate
    base_right: Rate | None = None
    """The untouched model on the same items."""
    right_minus_base: Difference | None = None
    """`stats.paired_difference`, by sample."""


@dataclass(frozen=True, kw_only=True)
class ProbesSummary:
    """None for a control that was not run."""

    pass_at_k: PassSummary | None = None
    shuffle: ProbeSummary | None = None
    """Found chains of fixed samples with the options in other orders."""
    transfer: ProbeSummary | None = None
    """Found chains on other items."""
    undo_fixed: ProbeSummary | None = None
    """Found chains of fixed samples without one of their edits."""
    undo_shortened: ProbeSummary | None = None
    """The same where the base is right."""


def probes_summary(tally: ProbesTally, items: int | None = None) -> ProbesSummary:
    """The figures of the controls that are no search. items: how many items transfer draws from, where that is known."""
    others = {name: _summary(name, one, items) for name, one in tally.others.items()}
    return ProbesSummary(pass_at_k=_pass(tally.pass_at_k), **others)


def _pass(tally: PassTally) -> PassSummary | None:
    if not tally.runs:
        return None
    beside = wilson(_count(tally.base_wrong_reached), tally.base_wrong_runs)
    return PassSummary(
        k=tally.k,
        reached=wilson(_count(tally.reached), tally.runs),
        base_wrong_reached=beside,
        fixed_minus_reached=newcombe(wilson(tally.fixed, tally.base_wrong_runs), beside),
    )


def _count(ten_thousandths: int) -> float:
    """A count with one digit after the point, and none where it is whole."""
    count = round(ten_thousandths / TEN_THOUSAND, 1)
    return int(count) if count.is_integer() else count


def _summary(name: str, tally: ProbeTally, items: int | None) -> ProbeSummary:
    right, base = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for (tries, count, base_count), times in tally.verdicts.items():
        right[count, tries] += times
        base[base_count, tries] += times
    beside_base = not name.startswith("undo")
    drawn_from = items if name == "transfer" else None
    return ProbeSummary(
        samples=tally.verdicts.total(),
        refused=tally.refused,
        right=clustered(right, drawn_from),
        base_right=clustered(base, drawn_from) if beside_base else None,
        right_minus_base=paired_difference(tally.verdicts, drawn_from) if beside_base else None,
    )


def probe_warnings(probes: ProbesSummary, fixed: Rate) -> list[str]:
    """In words, which claims these controls do not let stand."""
    said = [_pass_words(probes.pass_at_k, fixed), _shuffle_words(probes.shuffle)]
    said += [_transfer_words(probes.transfer), _undo_words(probes.undo_fixed)]
    return [sentence for sentence in said if sentence]


def _pass_words(found: PassSummary | None, fixed: Rate) -> str | None:
    difference = found.fixed_minus_reached if found is not None else None
    if found is None or difference is None or difference.low > 0 or not fixed.count:
        return None
    same = f" on the {found.base_wrong_reached.of} that have both" if found.base_wrong_reached.of < fixed.of else ""
    return (
        f"Fixes are not shown to stand above {found.k} answers drawn from the untouched model: {in_words(fixed)} against "
        f"{in_words(found.base_wrong_reached)} where the base is wrong, a difference of {points(difference)}{same}."
    )


def _shuffle_words(found: ProbeSummary | None) -> str | None:
    if found is None:
        return None
    if not found.samples:
        none = (
            "the one fixed sample could not" if found.refused == 1 else f"none of {found.refused} fixed samples could"
        )
        return f"Option order: not applicable, {none} have its options reordered."
    assert found.base_right is not None
    apart = _behind_base(found, alone=", on a single sample")
    if apart is None:
        return None
    return (
        f"Fixes are not shown to survive another order of the options: there their chains are right on "
        f"{in_words(found.right)}, the base on {in_words(found.base_right)}{apart}."
    )


def _transfer_words(found: ProbeSummary | None) -> str | None:
    if found is None or not found.samples:
        return None
    assert found.base_right is not None
    apart = _behind_base(found, alone=", for a single chain")
    if apart is None:
        return None
    worse = found.right_minus_base is not None and found.right_minus_base.high < 0
    return (
        f"Found chains are {'worse' if worse else 'not shown to be better'} than the base on items that they were not found on: "
        f"{in_words(found.right)} against {in_words(found.base_right)}{apart}."
    )


def _behind_base(found: ProbeSummary, alone: str) -> str | None:
    """How far the chains are from the base, in words, `alone` where one sample says nothing; None if they are above it."""
    difference = found.right_minus_base
    if difference is None:
        return alone
    return None if difference.low > 0 else f", a difference of {points(difference)}"


def _undo_words(found: ProbeSummary | None) -> str | None:
    if found is None or found.right.high is None or found.right.high >= 0.5:
        return None
    return f"Fixes mostly hang on every single edit: with one of them undone, {in_words(found.right)} of the chains stay right."
