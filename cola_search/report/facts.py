"""What the figures need of one record and no more: a few numbers a sample, so that those of 5,000 samples are small."""

from dataclasses import dataclass

from cola_search.chain import Chain
from cola_search.records import Control, Record, VoidPrior


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluated chain in the cloud."""

    length: int
    margin: float | None
    correct: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """One sample as the figures see it."""

    outcome: str
    """See `tally.outcome`."""
    num_layers: int
    counts: tuple[int, ...] | None
    """Runs per layer of the best chain, [num_layers]; None if no chain is right."""
    length: int | None
    """Length of the best chain."""
    margin: float | None
    points: list[Point]
    rights: list[tuple[float, int]]
    """(layer executions spent, length) whenever the search saw a right chain shorter than every right one before."""
    spent: float
    controls: dict[str, Control]
    prior: VoidPrior | None = None

    @property
    def base_right(self) -> bool | None:
        """The verdict on the untouched model; None for an error."""
        return None if self.outcome == "error" else self.outcome in ("shortened", "same")


def facts_of(record: Record) -> Facts:
    """The numbers of one record that figures are made of."""
    best = record.best
    lengths = [len(Chain.parse(row.chain)) for row in record.chains]
    return Facts(
        outcome=record.outcome,
        num_layers=record.num_layers,
        counts=Chain.parse(best.chain).counts(record.num_layers) if best else None,
        length=best.length if best else None,
        margin=best.margin if best else None,
        points=[
            Point(length, row.margin, bool(row.correct))
            for row, length in zip(record.chains, lengths, strict=True)
            if row.correct is not None
        ],
        rights=_rights(record, lengths),
        spent=record.counts.layer_executions,
        controls=dict(record.controls),
        prior=record.prior,
    )


def _rights(record: Record, lengths: list[int]) -> list[tuple[float, int]]:
    rights: list[tuple[float, int]] = []
    chains = list(zip(record.chains, lengths, strict=True))
    for row, length in chains[record.base_right is False :]:  # a base that verification refutes is no fix
        if row.correct and (not rights or length < rights[-1][1]):
            rights.append((row.layer_executions, length))
    return rights
