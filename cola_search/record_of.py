"""A finished sample as a record."""

import math
from typing import TYPE_CHECKING, Any

from cola_search.chain import Chain
from cola_search.outcome import Milestone, Outcome, Score, final_order
from cola_search.records import (
    BaseVerdict,
    Cost,
    Counts,
    Evaluated,
    FoundChain,
    Record,
    TreeRow,
    Verification,
)
from cola_search.settings import Settings

if TYPE_CHECKING:
    from cola_search.job import Finding
    from cola_search.tasks.sample import Sample


def make_record(settings: Settings, finding: "Finding", num_layers: int) -> dict[str, Any]:
    """The record of a searched sample, as plain data that may cross the network."""
    outcome, verified = finding.outcome, finding.verified
    found = dict((chain, score) for chain, score, _ in outcome.chains)
    front = [_found(chain, found[chain], verified.get(chain)) for chain, _ in outcome.front]
    base = base_verdict(outcome, verified)
    record = Record(
        **_identity(settings, finding.sample.id, num_layers, finding.sample),
        base=base,
        chains=[_evaluated(*row) for row in outcome.chains],
        tree=[TreeRow(*row) for row in outcome.tree],
        front=front,
        best=best_found(settings, outcome, verified),
        verified={str(chain): check.correct for chain, check in verified.items() if not check.error},
        controls=finding.controls,
        probes=finding.probes,
        prior=finding.prior,
        counts=Counts(
            simulations=outcome.simulations,
            evaluations=outcome.evaluations,
            layer_executions=outcome.layer_executions,
            first_fix=_cost(_first_fix(outcome, base)),
            first_shorter=_cost(outcome.first_shorter),
        ),
        verification=_verification(found, verified),
        seconds=finding.seconds,
        mix_samples=settings.engine.mix_samples,
        error=outcome.chains[0][1].error,
    )
    return record.to_dict()


def error_record(
    settings: Settings, sample_id: str, error: str, num_layers: int = 0, sample: "Sample | None" = None
) -> Record:
    """The record of a sample that could not be searched; without the sample, where not even that could be made.

    num_layers: 0 where no replica told it.
    """
    counts = Counts(simulations=0, evaluations=0, layer_executions=0.0)
    known = _identity(settings, sample_id, num_layers, sample)
    return Record(**known, counts=counts, seconds=0.0, error=error)


def _identity(settings: Settings, sample_id: str, num_layers: int, sample: "Sample | None") -> dict[str, Any]:
    return {
        "sample": sample_id,
        "task": settings.task.name,
        "model": settings.model.name,
        "num_layers": num_layers,
        "question": sample.question if sample else "",
        "choices": sample.choices if sample else None,
        "gold": sample.gold if sample else None,
        "seed": settings.seed,
    }


def base_verdict(outcome: Outcome, verified: dict[Chain, Score]) -> BaseVerdict:
    """What the untouched model answers, by the search and alone."""
    chain, score, _ = outcome.chains[0]
    check = verified.get(chain)
    return BaseVerdict(
        correct=None if score.error else score.correct,
        prediction=score.prediction,
        margin=_number(score.margin),
        verified=None if check is None or check.error else check.correct,
    )


def _evaluated(chain: Chain, score: Score, spent: float) -> Evaluated:
    return Evaluated(str(chain), None if score.error else int(score.correct), _number(score.margin, 4), round(spent, 3))


def _found(chain: Chain, score: Score, check: Score | None) -> FoundChain:
    alone = None if check is None or check.error else check
    return FoundChain(
        chain=str(chain),
        length=len(chain),
        correct=score.correct,
        margin=_number(score.margin),
        verified=None if alone is None else alone.correct,
        prediction=(alone or score).prediction,
    )


def best_found(settings: Settings, outcome: Outcome, verified: dict[Chain, Score]) -> FoundChain | None:
    """The shortest chain that is right when verified, the whole model included even where the search called it wrong;
    with nothing verified, the shortest one that the search called right.
    """
    if settings.verify.scope == "none":
        return next((_found(chain, score, None) for chain, score in outcome.candidates), None)
    found = dict([outcome.chains[0][:2], *outcome.candidates])
    holding = [chain for chain in found if chain in verified and verified[chain].right]
    best = min(holding, key=lambda chain: final_order(chain, found[chain]), default=None)
    return None if best is None else _found(best, found[best], verified[best])


def _first_fix(outcome: Outcome, base: BaseVerdict) -> Milestone | None:
    """The first chain that the search saw right, where the verdict that counts has the base wrong.

    The search's own milestone goes by its verdict on the base, which verification may turn either way.
    """
    if base.right is not False:
        return None
    later = enumerate(outcome.chains[1:], start=2)
    return next((Milestone(evaluations, spent) for evaluations, (_, score, spent) in later if score.right), None)


def _verification(found: dict[Chain, Score], verified: dict[Chain, Score]) -> Verification:
    pairs = [(found[chain], check) for chain, check in verified.items() if not check.error]
    agreed = sum(search.correct == check.correct for search, check in pairs)
    ties = sum(search.near_tie or check.near_tie for search, check in pairs)
    return Verification(checked=len(pairs), agreed=agreed, near_ties=ties)


def _cost(milestone: Milestone | None) -> Cost | None:
    if milestone is None:
        return None
    return Cost(evaluations=milestone.evaluations, layer_executions=milestone.layer_executions)


def _number(value: float, digits: int = 6) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
